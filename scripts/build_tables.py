"""Build the tables (CSV, Markdown, LaTeX, HTML) from scores, measurements and published values.

Scores of a finished workflow come by --scores; --results ROOT takes what a results folder holds so far, at any
time beside a running workflow, and compares the models by the --resamples given. Missing scores become dashes with a
reason. With --configfile all other options come from the configuration (what is given besides wins), and the tables go
to <results_dir>/tables_so_far.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from compactbio.digests import add_verify
from compactbio.errors import UserError
from compactbio.files import write_text
from compactbio.logs import run_program
from compactbio.reporting.collected_scores import collect_scores, gap_reasons
from compactbio.reporting.document_files import FORMS, write_document, write_rows
from compactbio.reporting.efficiency.measurements import read_deployment, read_efficiency
from compactbio.reporting.first_page import verdict
from compactbio.reporting.material import Material
from compactbio.reporting.options import (
    add_notice,
    add_selection,
    benchmark_of,
    datasets_in,
    json_option,
    of_each,
    options_so_far,
    parse_datasets,
    read_published_of,
)
from compactbio.reporting.render import to_rst
from compactbio.reporting.report_records import INDEX, made_tables
from compactbio.reporting.score_cells import build_cells
from compactbio.reporting.statistics.cell_means import with_cell_means
from compactbio.reporting.statistics.estimates import Estimate, read_estimates
from compactbio.reporting.trainings import read_trainings
from compactbio.scoring.score_rows import ClassScore, Score
from compactbio.settings.load import settings_of_files
from compactbio.settings.results import Results, Tables, find

log = logging.getLogger(__name__)


def parse_arguments() -> argparse.Namespace:
    """Return the command line, after the options that --configfile stands for."""
    configured = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    configured.add_argument(
        "--configfile",
        type=Path,
        nargs="*",
        metavar="FILE",
        help="configurations merged over config/config.yaml, as for Snakemake; none: that file alone",
    )
    parser = argparse.ArgumentParser(
        description=__doc__, parents=[configured], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--scores", type=Path, help="table that collect_scores wrote")
    source.add_argument("--results", type=Path, metavar="ROOT", help="results folder: take what is there")
    about = "tables of scores by class that score_model wrote, {model} for each"
    parser.add_argument("--classes", type=Path, nargs="*", default=[], help=about)
    parser.add_argument("--efficiency", type=Path, nargs="*", default=[], help="files of measure_efficiency")
    parser.add_argument("--deployment", type=Path, nargs="?", help="file of measure_deployment")
    parser.add_argument(
        "--trainings",
        type=Path,
        nargs="*",
        default=[],
        help="files <model>/<dataset>/training.json of finetune_model; {model} and {dataset} stand for each",
    )
    parser.add_argument("--comparisons", type=Path, help="table that compare_models wrote")
    add_selection(parser, required=False)
    parser.add_argument("--baseline", required=True, help="model whose scores the percentages refer to")
    parser.add_argument("--resamples", type=int, help="with --results: number of resamples; none: no comparisons")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples")
    parser.add_argument("--config", help="the checked configuration as JSON, for the first page")
    add_notice(parser)
    parser.add_argument("--output-dir", type=Path, required=True, help="folder of the tables")
    files, given = configured.parse_known_args()
    options = [] if files.configfile is None else options_so_far(settings_of_files(files.configfile))
    add_verify(parser)
    return parser.parse_args([*options, *given])


def gather_estimates(arguments: argparse.Namespace, models: Sequence[str]) -> list[Estimate]:
    """Return what compare_models wrote, or, for results so far, what it would write; empty where neither is there."""
    if arguments.comparisons:
        return read_estimates(arguments.comparisons)
    if not arguments.results or not arguments.resamples:
        return []
    from compactbio.reporting.statistics.differences import compare  # reads files with pyarrow

    units = [path for model in models if (path := Results(arguments.results).model_scores(model).units).is_file()]
    return compare(units, baseline=arguments.baseline, resamples=arguments.resamples, seed=arguments.seed)


def main() -> None:
    """Read the command line, gather everything, write the tables."""
    arguments = parse_arguments()
    config = json_option("--config", arguments.config) if arguments.config else None
    efficiency, deployment, trainings = arguments.efficiency, arguments.deployment, arguments.trainings
    classes = arguments.classes
    if arguments.results:
        if not arguments.results.is_dir():
            raise UserError(f"there is no folder {arguments.results}: nothing was run for it yet, or correct its path")
        results = Results(arguments.results)
        scores = collect_scores(find(results, results.model_scores("*").scores), Score)
        efficiency = efficiency or find(results, results.reporting.efficiency)
        deployment = deployment or next(iter(find(results, results.reporting.deployment.measurements)), None)
        classes = classes or find(results, results.model_scores("*").classes)
        trainings = trainings or find(results, results.finetuning("*", "*").training)
    else:
        scores = collect_scores([arguments.scores], Score)
    models = arguments.models or list(dict.fromkeys(score.model for score in scores))
    datasets = parse_datasets(arguments.datasets) if arguments.datasets else datasets_in(scores)
    if not models or not datasets:
        raise UserError("there are no scores yet, so give --models and --datasets to build tables of dashes")
    assignment = read_published_of(arguments, models, datasets)
    scored = build_cells(
        scores,
        models=models,
        datasets=datasets,
        baseline=arguments.baseline,
        published=assignment.by_cell(),
        reasons=gap_reasons(arguments.results, models, datasets) if arguments.results else None,
    )
    material = Material(
        scored,
        assignment,
        measured=read_efficiency(efficiency),
        trainings=read_trainings(of_each(trainings, models, datasets)),
        deployed=read_deployment(deployment),
        estimates=with_cell_means(gather_estimates(arguments, models), scored),
        benchmark=benchmark_of(arguments),
        config=config,
        complete=not arguments.results,
        scores=scores,
        classes=collect_scores(of_each(classes, models, datasets), ClassScore),
    )
    folder = arguments.output_dir
    for table in made_tables({*datasets.values()}, benchmark=material.benchmark is not None):
        document, rows = table.build(material)
        write_document(document, folder, table.name, FORMS, notice=arguments.notice, home=INDEX.name)
        write_rows(folder / f"{table.name}.csv", table.columns, rows)
    write_document(INDEX.build(material), folder, INDEX.name, notice=arguments.notice)
    write_text(Tables(folder).verdict, to_rst(arguments.notice, verdict(material)))
    log.info("tables of %d models and %d datasets written to %s", len(models), len(datasets), folder)


if __name__ == "__main__":
    run_program(main)
