"""Build the figures (SVG and PNG) from scores and measurements."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from compactbio.errors import UserError
from compactbio.logs import run_program
from compactbio.reporting.collected_scores import collect_scores
from compactbio.reporting.gaps import parse_datasets
from compactbio.reporting.pretrainings import read_pretrainings
from compactbio.reporting.score_cells import build_cells
from compactbio.reporting.selection import read_published_of
from compactbio.reporting.tables.model_costs import read_efficiency
from compactbio.reporting.trainings import read_trainings
from compactbio.style import LOOKS

log = logging.getLogger(__name__)


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="table that collect_scores wrote")
    parser.add_argument("--efficiency", type=Path, nargs="*", default=[], help="files of measure_efficiency")
    parser.add_argument(
        "--trainings", type=Path, nargs="*", default=[], help="files <model>/<dataset>/training.json of finetune_model"
    )
    parser.add_argument(
        "--pretrainings",
        type=Path,
        nargs="*",
        default=[],
        help="files <model>/metrics.jsonl of pre-trainings, run.yaml and provenance.json beside each",
    )
    parser.add_argument("--published", type=Path, help="table of published values")
    parser.add_argument("--models", nargs="+", required=True, help="models in order")
    parser.add_argument("--datasets", nargs="+", required=True, metavar="NAME:TASK", help="datasets in order")
    parser.add_argument("--known-models", nargs="*", default=[], help="models that published values may name too")
    parser.add_argument("--known-datasets", nargs="*", default=[], metavar="NAME:TASK", help="the same for datasets")
    parser.add_argument("--baseline", required=True, help="model that the others are compared with")
    parser.add_argument("--groups", default="{}", help=f"group of each model as JSON: {', '.join(LOOKS)}")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder of the figures")
    return parser.parse_args()


def main() -> None:
    """Read the command line, gather everything, draw."""
    arguments = parse_arguments()
    try:
        groups = json.loads(arguments.groups)
    except json.JSONDecodeError as error:
        raise UserError(f"--groups is not JSON: {error}") from None
    unknown = sorted(set(groups.values()) - set(LOOKS))
    if unknown:
        raise UserError(f"--groups: unknown group {', '.join(unknown)}; known are {', '.join(LOOKS)}")
    models, datasets = arguments.models, parse_datasets(arguments.datasets)
    scores = collect_scores([arguments.scores])
    assignment = read_published_of(arguments, models, datasets)
    results = build_cells(
        scores, models=models, datasets=datasets, baseline=arguments.baseline, published=assignment.by_cell()
    )
    measured = read_efficiency(arguments.efficiency)
    trained, pretrained = read_trainings(arguments.trainings), read_pretrainings(arguments.pretrainings)

    from compactbio.reporting.figures.agreement import draw_agreement  # these import matplotlib
    from compactbio.reporting.figures.learning_curves import draw_curves
    from compactbio.reporting.figures.loss_curves import draw_losses
    from compactbio.reporting.figures.score_dots import draw_scores, group_looks
    from compactbio.reporting.figures.tradeoffs import draw_tradeoffs

    folder, looks = arguments.output_dir, group_looks(results, groups)
    paths = draw_scores(folder, results, scores, looks)
    paths += draw_tradeoffs(folder, results, measured, looks)
    paths += draw_agreement(folder, results)
    paths += draw_losses(folder, models, pretrained)
    paths += draw_curves(folder, models, datasets, trained)
    log.info("%d figures written to %s", len(paths), arguments.output_dir)


if __name__ == "__main__":
    run_program(main)
