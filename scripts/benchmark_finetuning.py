"""Time whole fine-tunings, ours against a plain script on transformers' Trainer with the reference code's padding.

Both train the same model on the same data for the same epochs in this one call, in turn, once per seed; the scores of
both by the standard protocol stand beside the times. Rows are appended to results/benchmarks/finetuning.tsv.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from compactbio.benchmarks.measuring import append_rows, hardware_name
from compactbio.benchmarks.whole_finetunings import COLUMNS, measure_dataset
from compactbio.errors import UserError
from compactbio.files import MANIFEST
from compactbio.logs import run_program
from compactbio.settings.results import Results


def parse_arguments() -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of the model and its tokenizer")
    parser.add_argument("--tasks", type=Path, nargs="+", required=True, help="folders that prepare_task wrote")
    parser.add_argument("--learning-rate", type=float, default=5.0e-5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads of a process")
    parser.add_argument("--output-dir", type=Path, default=Results(Path("results")).benchmarks)
    return parser.parse_args()


def main() -> None:
    """Measure each dataset; append and print the table."""
    arguments = parse_arguments()
    for option, folder, name in [("--model", arguments.model, "config.json")] + [
        ("--tasks", folder, MANIFEST) for folder in arguments.tasks
    ]:
        if not (folder / name).is_file():
            raise UserError(f"{option}: {folder} has no {name}")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from tabulate import tabulate

    hardware, rows = hardware_name(arguments.threads), []
    logging.info("%s", hardware)
    for folder in arguments.tasks:
        row = measure_dataset(
            arguments.model,
            folder,
            arguments.seeds,
            learning_rate=arguments.learning_rate,
            epochs=arguments.epochs,
            threads=arguments.threads,
        )
        rows.append({"hardware": hardware, **row})
        append_rows(arguments.output_dir / "finetuning.tsv", rows[-1:])
    sys.stdout.write(tabulate([[row[key] for key in COLUMNS[1:]] for row in rows], COLUMNS[1:]) + "\n")


if __name__ == "__main__":
    run_program(main)
