"""Build the figures (SVG, PDF and PNG) from scores and measurements."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from compactbio.digests import add_verify
from compactbio.errors import UserError
from compactbio.logs import run_program
from compactbio.reporting.collected_scores import collect_scores
from compactbio.reporting.efficiency.measurements import read_efficiency
from compactbio.reporting.material import Material
from compactbio.reporting.options import (
    add_notice,
    add_selection,
    json_option,
    of_each,
    parse_datasets,
    read_published_of,
)
from compactbio.reporting.pretrainings import read_pretrainings
from compactbio.reporting.score_cells import build_cells
from compactbio.reporting.trainings import read_trainings
from compactbio.scoring.score_rows import Score
from compactbio.style import LOOKS, group_looks

log = logging.getLogger(__name__)


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="table that collect_scores wrote")
    parser.add_argument("--efficiency", type=Path, nargs="*", default=[], help="files of measure_efficiency")
    parser.add_argument(
        "--trainings",
        type=Path,
        nargs="*",
        default=[],
        help="files <model>/<dataset>/training.json of finetune_model; {model} and {dataset} stand for each",
    )
    parser.add_argument(
        "--pretrainings",
        type=Path,
        nargs="*",
        default=[],
        help="files <model>/metrics.jsonl of pre-trainings, run.yaml and provenance.json beside each",
    )
    parser.add_argument("--trained", nargs="*", default=[], help="models that {model} stands for in --pretrainings")
    add_selection(parser)
    add_notice(parser)
    parser.add_argument("--baseline", required=True, help="model that the others are compared with")
    parser.add_argument("--groups", default="{}", help=f"group of each model as JSON: {', '.join(LOOKS)}")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder of the figures")
    add_verify(parser)
    return parser.parse_args()


def main() -> None:
    """Read the command line, gather everything, draw."""
    arguments = parse_arguments()
    groups = json_option("--groups", arguments.groups)
    unknown = sorted(set(groups.values()) - set(LOOKS))
    if unknown:
        raise UserError(f"--groups: unknown group {', '.join(unknown)}; known are {', '.join(LOOKS)}")
    models, datasets = arguments.models, parse_datasets(arguments.datasets)
    scores = collect_scores([arguments.scores], Score)
    assignment = read_published_of(arguments, models, datasets)
    scored = build_cells(
        scores, models=models, datasets=datasets, baseline=arguments.baseline, published=assignment.by_cell()
    )
    material = Material(
        scored,
        assignment,
        measured=read_efficiency(arguments.efficiency),
        trainings=read_trainings(of_each(arguments.trainings, models, datasets)),
        scores=scores,
        pretrainings=read_pretrainings(of_each(arguments.pretrainings, arguments.trained, [""])),
        looks=group_looks(models, groups, arguments.baseline),
    )

    from compactbio.reporting.figures.drawing import draw_figures  # imports matplotlib

    paths = draw_figures(arguments.output_dir, material, arguments.notice)
    log.info("%d figures written to %s", len(paths), arguments.output_dir)


if __name__ == "__main__":
    run_program(main)
