"""Describe a run in pages (HTML, Markdown): what was run and what not, corpus, costs, deviations, environment."""

from __future__ import annotations

import argparse
import csv
import logging
import platform
from importlib import metadata
from pathlib import Path

from compactbio.logs import run_program
from compactbio.pretraining.training_record import read_training_record
from compactbio.reporting.collected_scores import collect_scores
from compactbio.reporting.document_files import write_document, write_rows
from compactbio.reporting.options import add_notice, json_option, of_each
from compactbio.reporting.pages.deviations import deviations_document
from compactbio.reporting.pages.environment import environment_document
from compactbio.reporting.pages.overview import corpus_document, run_document
from compactbio.reporting.pages.run_costs import RECORD_COLUMNS, costs_document, costs_records, read_benchmarks
from compactbio.reporting.pages.training_records import read_trained
from compactbio.reporting.report_records import INDEX, PAGES
from compactbio.scoring.score_rows import Score
from compactbio.settings.load import settings_of_files
from compactbio.settings.results import PRETRAINING, TABLES, TrainingResults
from compactbio.settings.selection import finetuned_datasets, trained_models

log = logging.getLogger(__name__)


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="the checked configuration as JSON")
    parser.add_argument(
        "--used", nargs="*", default=[], help="models, checkpoints, datasets and tokenizers of this run"
    )
    parser.add_argument("--scores", type=Path, required=True, help="table that collect_scores wrote")
    parser.add_argument("--checks", type=Path, required=True, help="what check_results wrote")
    parser.add_argument(
        "--trainings",
        type=Path,
        nargs="*",
        default=[],
        metavar="PROVENANCE",
        help="files pretraining/<model>/ and finetuning/<model>/<dataset>/provenance.json, training.json beside each;"
        " {model} and {dataset} stand for each fine-tuning of the configuration",
    )
    parser.add_argument(
        "--pretrainings", type=Path, nargs="*", default=[], metavar="PROVENANCE", help="the same of pre-trainings"
    )
    parser.add_argument("--corpus", type=Path, nargs="*", default=[], help="summary.csv of the corpus, if there is one")
    parser.add_argument("--benchmarks", type=Path, required=True, help="folder in which Snakemake measures the jobs")
    add_notice(parser)
    parser.add_argument("--output-dir", type=Path, required=True, help="folder of the pages")
    return parser.parse_args()


def main() -> None:
    """Read the command line, gather everything, write the pages."""
    arguments = parse_arguments()
    config = json_option("--config", arguments.config)
    paper = settings_of_files([])
    files = [
        *of_each(arguments.pretrainings, trained_models(config), [""]),
        *of_each(arguments.trainings, config["run"]["models"], finetuned_datasets(config)),
    ]
    trained = read_trained(files)
    steps = {
        path.parent.name: read_training_record(TrainingResults(path.parent).training)["step"]
        for path, job in zip(files, trained, strict=True)
        if job.stage == PRETRAINING
    }
    scores = collect_scores([arguments.scores], Score)
    checks = arguments.checks.read_text(encoding="utf-8").splitlines()
    rows = [row for path in arguments.corpus for row in csv.DictReader(path.open(encoding="utf-8", newline=""))]
    here = {"python": platform.python_version(), "operating system": platform.platform()}
    here |= {name: metadata.version(name) for name in ("snakemake", "matplotlib")}
    pages = {
        "run": run_document(config, paper, scores, steps, checks),
        "corpus": corpus_document(rows),
        "costs": costs_document(config["run"]["models"], trained, read_benchmarks(arguments.benchmarks)),
        "deviations": deviations_document(config, paper, arguments.used),
        "environment": environment_document(trained, here),
    }
    for record in PAGES:
        write_document(
            pages[record.name],
            arguments.output_dir,
            record.name,
            notice=arguments.notice,
            home=f"../../{TABLES}/{INDEX.name}",
        )
    write_rows(arguments.output_dir / "costs.csv", RECORD_COLUMNS, costs_records(trained))
    log.info("%d pages written to %s", len(pages), arguments.output_dir)


if __name__ == "__main__":
    run_program(main)
