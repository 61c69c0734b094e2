"""Measure one GPU: steps of all objectives, ours and the reference code's formulation, GPU-hours, two fine-tunings.

Everything runs in this process, without network, on random weights of full size and texts as long as PubMed's; rows
are written as soon as they are measured, the most important ones first, until --minutes are over. Rows are appended to
results/benchmarks/gpu.tsv and gpu_finetuning.tsv with the GPU's name. Where a row leaves a GPU that does not answer any
more, the program starts itself again for the rows that follow.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from compactbio.benchmarks.cases import CASES, chosen_cases
from compactbio.errors import UserError
from compactbio.logs import run_program
from compactbio.settings.results import Results
from compactbio.text_tables import aligned_columns

CONFIG = Path(__file__).resolve().parents[1] / "config" / "config.yaml"
FINETUNINGS, PROFILE = "finetuning", "profile"
FINETUNING_SHARE = 0.3  # of the time, kept for the fine-tunings


def parse_arguments() -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.8, help="no row is begun that would end later")
    parser.add_argument(
        "--parts", nargs="+", default=["steps", FINETUNINGS], choices=["steps", FINETUNINGS, PROFILE],
        help="profile: the longest operations of the slowest row of the table, by torch's profiler",
    )  # fmt: skip
    parser.add_argument("--cases", nargs="+", default=list(CASES), help=f"some of {', '.join(CASES)}")
    parser.add_argument("--skip", type=int, default=0, help="so many rows of steps, measured before")
    parser.add_argument("--output-dir", type=Path, default=Results(Path("results")).benchmarks)
    return parser.parse_args()


def main() -> None:
    """Measure the chosen parts; append and print the tables."""
    arguments = parse_arguments()
    cases = chosen_cases(arguments.cases)
    import torch

    if not torch.cuda.is_available():
        raise UserError("no GPU here: benchmark_gpu.py measures one; benchmark_training.py measures CPUs as well")
    from compactbio.benchmarks import gpu_rows
    from compactbio.benchmarks.measuring import append_rows
    from compactbio.training.devices import HALF, chosen_precision

    began, half = time.monotonic(), chosen_precision(HALF)
    end = began + 60 * arguments.minutes
    hardware, output = torch.cuda.get_device_name(), arguments.output_dir
    if "steps" in arguments.parts:
        share = FINETUNING_SHARE if FINETUNINGS in arguments.parts else 0.0
        rows = [row for row in gpu_rows.planned_rows(half) if row.case in cases]
        lines: list[dict[str, Any]] = []
        deadline = end - share * 60 * arguments.minutes
        measured = gpu_rows.measure_rows(rows[arguments.skip :], cases, gpu_rows.Scale(), hardware, deadline=deadline)
        for line in measured:
            lines.append(line)
            append_rows(output / "gpu.tsv", [line])
            logging.info("%s", line)
            if line["ms"] == "-" and gpu_rows.is_lost():
                measured.close()
                start_again(arguments, arguments.skip + len(lines), minutes=(end - time.monotonic()) / 60)
        print_table(gpu_rows.COLUMNS[2:], lines)
        print_table(
            ("model", "GPU-hours"),
            [dict(zip(("model", "GPU-hours"), pair, strict=True)) for pair in gpu_rows.gpu_hours(lines, half, CONFIG)],
        )
    if FINETUNINGS in arguments.parts:
        from compactbio.benchmarks import gpu_finetunings

        lines = []
        for line in gpu_finetunings.measure_finetunings(gpu_finetunings.Scale(), hardware, half, deadline=end):
            lines.append(line)
            append_rows(output / "gpu_finetuning.tsv", [line])
        print_table(gpu_finetunings.COLUMNS[1:], lines)
    if PROFILE in arguments.parts:
        slowest = gpu_rows.slowest_row(output / "gpu.tsv", hardware, half)
        text = gpu_rows.profile_row(slowest, CASES[slowest.case], gpu_rows.Scale())
        (output / "gpu_profile.txt").write_text(text, encoding="utf-8")
        sys.stdout.write(text)


def start_again(arguments: argparse.Namespace, skip: int, minutes: float) -> None:
    """Go on in another program in this one's place, to which the GPU answers."""
    logging.warning("the GPU is lost to this process: another one goes on after %d rows", skip)
    options = ["--minutes", f"{minutes:.2f}", "--skip", str(skip), "--output-dir", str(arguments.output_dir)]
    options += ["--parts", *arguments.parts, "--cases", *arguments.cases]
    sys.stdout.flush()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # the lost memory goes with the device's files
    os.execv(sys.executable, [sys.executable, __file__, *options])


def print_table(columns: tuple[str, ...], lines: list[dict[str, Any]]) -> None:
    """Print lines under their header."""
    sys.stdout.write(
        aligned_columns([list(columns), *([str(line[name]) for name in columns] for line in lines)]) + "\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    run_program(main)
