"""Score one model's stored predictions on all its datasets: every run, every protocol, one table."""

import argparse
import logging
from pathlib import Path

from compactbio.errors import UserError
from compactbio.logs import run_program

log = logging.getLogger(__name__)


def main() -> None:
    """Parse the command line, score each dataset, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Beside the table, BioASQ results folders get bioasq_<run>_<protocol>.json, files that the official "
        "scorer reads.",
    )
    parser.add_argument("--model", required=True, help="name of the model, as in the run files")
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        required=True,
        metavar="RUNDIR",
        help="folders with run.yaml and predictions.parquet, one a dataset",
    )
    parser.add_argument(
        "--tasks",
        type=Path,
        nargs="+",
        required=True,
        metavar="TASKDIR",
        help="the prepared datasets, in the order of --results",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="SCORES.tsv", help="the table to write")
    arguments = parser.parse_args()
    if len(arguments.results) != len(arguments.tasks):
        raise UserError(
            f"--results names {len(arguments.results)} folders, --tasks {len(arguments.tasks)}: give one prepared "
            "dataset for each, in the same order"
        )

    from compactbio.scoring.runs import score_folder
    from compactbio.scoring.tables import write_scores

    scores = []
    for folder, task_folder in zip(arguments.results, arguments.tasks, strict=True):
        scores += score_folder(arguments.model, folder, task_folder)
    write_scores(arguments.output, scores)
    log.info("%d scores written to %s", len(scores), arguments.output)


if __name__ == "__main__":
    run_program(main)
