"""Score one model's stored predictions on all its datasets: every run, every protocol, one table.

Beside the table it writes that of the scores by class, and the counts per test example that the headline metrics are
made of, for compare_models.
"""

import argparse
import logging
import time
from pathlib import Path

from compactbio.digests import add_verify, sha256_of_file
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
    about = "folders with run.yaml and predictions.parquet, one a dataset"
    parser.add_argument("--results", type=Path, nargs="+", required=True, metavar="RUNDIR", help=about)
    about = "the prepared datasets, in the order of --results"
    parser.add_argument("--tasks", type=Path, nargs="+", required=True, metavar="TASKDIR", help=about)
    parser.add_argument("--output", type=Path, required=True, metavar="SCORES.tsv", help="the table to write")
    about = "the table of scores by class to write"
    parser.add_argument("--classes", type=Path, required=True, metavar="CLASSES.tsv", help=about)
    about = "the counts per test example to write"
    parser.add_argument("--units", type=Path, required=True, metavar="UNITS.parquet", help=about)
    add_verify(parser)
    arguments = parser.parse_args()
    started = time.perf_counter()
    if len(arguments.results) != len(arguments.tasks):
        raise UserError(
            f"--results names {len(arguments.results)} folders, --tasks {len(arguments.tasks)}: give one prepared "
            "dataset for each, in the same order"
        )

    from compactbio.finetuning.runs.digests import dataset_digest
    from compactbio.provenance import write_provenance
    from compactbio.scoring.folder_scores import score_folder
    from compactbio.scoring.score_rows import ClassScore, Score, write_scores
    from compactbio.scoring.units import write_units
    from compactbio.settings.results import Finetuning

    scores, classes, units, inputs = [], [], [], {}
    for folder, task_folder in zip(arguments.results, arguments.tasks, strict=True):
        of_folder = score_folder(arguments.model, folder, task_folder)
        scores += of_folder.scores
        classes += of_folder.classes
        units += of_folder.units
        predictions = Finetuning(folder).predictions
        inputs[f"{folder.name}/{predictions.name}"] = sha256_of_file(predictions)
        inputs[f"{folder.name}/dataset"] = dataset_digest(task_folder)
    write_units(arguments.units, units)
    write_scores(arguments.classes, classes, ClassScore)
    write_scores(arguments.output, scores, Score)
    written = (arguments.output, arguments.classes, arguments.units)
    outputs = {path.name: sha256_of_file(path) for path in written}
    write_provenance(arguments.output.parent, inputs, time.perf_counter() - started, outputs=outputs)
    log.info("%d scores written to %s", len(scores), arguments.output)


if __name__ == "__main__":
    run_program(main)
