"""Check the scores and tables of a finished workflow before they are believed; write what was checked."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import write_text
from compactbio.logs import run_program
from compactbio.reporting.collected_scores import collect_scores
from compactbio.reporting.options import add_selection, benchmark_of, of_each, parse_datasets, read_published_of
from compactbio.reporting.report_records import made_tables
from compactbio.reporting.score_checks import find_class_problems, find_problems, read_expected_runs, report
from compactbio.reporting.table_checks import find_table_problems, read_tables
from compactbio.scoring.score_rows import ClassScore, Score

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, check everything, then refuse or write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="table that collect_scores wrote")
    parser.add_argument(
        "--runs",
        type=Path,
        nargs="+",
        required=True,
        help="run.yaml of every fine-tuning, {model} and {dataset} for each",
    )
    about = "tables of scores by class of every model, {model} for each"
    parser.add_argument("--classes", type=Path, nargs="+", required=True, help=about)
    parser.add_argument("--tables", type=Path, required=True, help="folder that build_tables wrote")
    add_selection(parser)
    parser.add_argument("--output", type=Path, required=True, help="text file with what was checked")
    arguments = parser.parse_args()
    datasets = parse_datasets(arguments.datasets)
    models = arguments.models
    scores = collect_scores([arguments.scores], Score)
    classes = collect_scores(of_each(arguments.classes, models, datasets), ClassScore)
    expected = read_expected_runs(of_each(arguments.runs, models, datasets))
    assignment = read_published_of(arguments, models, datasets)
    benchmark = benchmark_of(arguments)
    tables = read_tables(arguments.tables, made_tables({*datasets.values()}, benchmark=benchmark is not None))
    problems = find_class_problems(classes)
    problems += find_problems(scores, models=models, datasets=datasets, expected=expected)
    run = {"models": models, "datasets": datasets, "assignment": assignment}
    problems += find_table_problems(tables, scores, classes, **run, benchmark=benchmark)
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise UserError(
            f"{arguments.scores} fails {len(problems)} checks; correct what is named and score again:{listed}"
        )
    rows = {name: len(lines) for name, lines in tables.rows.items()}
    text = report(scores, models=models, datasets=datasets, expected=expected, assignment=assignment, rows=rows)
    write_text(arguments.output, text)
    log.info("all checks passed, see %s", arguments.output)


if __name__ == "__main__":
    run_program(main)
