"""Time a training step of each objective, ours against the plain formulation of the reference code, and its input.

Both run in this one call, in turn, on random weights of full size and sequences as long as PubMed's texts. Rows are
appended to results/benchmarks/training.tsv and input.tsv, with the name of the hardware. Precisions: fp32, both sides;
bf16, ours in bf16 against the reference in fp32, as its code runs; bf16_both.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from compactbio.benchmarks.cases import CASES, Case, chosen_cases
from compactbio.benchmarks.measuring import COLUMNS, PRECISIONS, Settings, append_rows, hardware_name, measure_case
from compactbio.benchmarks.random_tokens import draw_lengths
from compactbio.errors import UserError
from compactbio.logs import run_program
from compactbio.pretraining.inputs import TOKENS_HELP, tokens_or_auto
from compactbio.settings.results import Results

INPUT = "input"


def names(text: str) -> list[str]:
    """Return the names in a list separated by commas."""
    return [name for name in text.split(",") if name]


def parse_arguments() -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [*CASES, INPUT]
    parser.add_argument("--cases", type=names, default=known, help=f"some of {', '.join(known)}; default all")
    parser.add_argument("--precision", type=names, default=["fp32", "bf16"], help=f"some of {', '.join(PRECISIONS)}")
    parser.add_argument("--dropout", type=float, nargs="+", default=[0.0, 0.1])
    parser.add_argument("--batch-size", type=int, default=24, help="sequences; 24 is the reference's per device")
    parser.add_argument("--rounds", type=int, default=3, help="steps of each formulation whose median counts")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads of a process")
    parser.add_argument("--micro-batch-tokens", type=tokens_or_auto, default="auto", help=TOKENS_HELP)
    parser.add_argument("--tokens", type=Path, nargs="+", help="token stores whose lengths are used; default: PubMed's")
    parser.add_argument("--output-dir", type=Path, default=Results(Path("results")).benchmarks)
    return parser.parse_args()


def main() -> None:
    """Measure the chosen cases; append and print the tables."""
    arguments = parse_arguments()
    unknown = sorted(set(arguments.precision) - set(PRECISIONS))
    if unknown:
        raise UserError(f"--precision: {', '.join(unknown)} is unknown; choose from {', '.join(PRECISIONS)}")
    cases = chosen_cases([name for name in arguments.cases if name != INPUT])
    hardware = hardware_name(arguments.threads)
    if cases:
        print_table(COLUMNS, measure_steps(cases, arguments, hardware))
    if INPUT in arguments.cases:
        from compactbio.benchmarks import input_pipeline

        rows = [{"hardware": hardware, **row} for row in input_pipeline.measure_input(rounds=30)]
        append_rows(arguments.output_dir / "input.tsv", rows)
        print_table(input_pipeline.COLUMNS, rows)


def measure_steps(cases: dict[str, Case], arguments: argparse.Namespace, hardware: str) -> list[dict[str, Any]]:
    """Return the rows of all cases; each is appended to training.tsv as soon as it is measured."""
    settings = Settings(
        batch_size=arguments.batch_size,
        rounds=arguments.rounds,
        threads=arguments.threads,
        micro_batch_tokens=arguments.micro_batch_tokens,
    )
    lengths = lengths_of(arguments.tokens, arguments.batch_size)
    logging.info("%s; %d sequences a step, mean length %.0f", hardware, len(lengths), lengths.mean())
    rows = []
    for name, case in cases.items():
        for dropout in arguments.dropout:
            logging.info("%s, dropout %s", name, dropout)
            for row in measure_case(case, lengths, dropout, arguments.precision, settings):
                rows.append({"hardware": hardware, "case": name, **row})
                append_rows(arguments.output_dir / "training.tsv", rows[-1:])
    return rows


def print_table(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Print rows without the hardware, which is the same in all."""
    from tabulate import tabulate

    sys.stdout.write(tabulate([[row[key] for key in columns[1:]] for row in rows], columns[1:]) + "\n\n")


def lengths_of(tokens: list[Path] | None, batch_size: int) -> np.ndarray:
    """Return the lengths of a batch: of sequences of token stores, else as PubMed's texts."""
    if tokens is None:
        return draw_lengths(batch_size, seed=0)
    from compactbio.corpus.tokens import TokenStore

    lengths = TokenStore(tokens).lengths
    return np.random.default_rng(0).choice(lengths, batch_size).astype(np.int64)


if __name__ == "__main__":
    run_program(main)
