"""Write a finished run as a folder that transformers reads, with a model card, its metrics and its loss curve."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from compactbio.files import read_json, read_yaml
from compactbio.logs import run_program


def main() -> None:
    """Export one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="run.yaml of the training")
    parser.add_argument("--training", type=Path, required=True, help="training.json of the finished training")
    parser.add_argument("--student", type=Path, required=True, help="folder (or manifest) the training started from")
    parser.add_argument("--output", type=Path, required=True, help="folder of the exported model")
    parser.add_argument("--metrics", type=Path, help="metrics.jsonl of the training, copied here")
    parser.add_argument("--figure", type=Path, action="append", default=[], help=".svg or .png; may be repeated")
    arguments = parser.parse_args()
    from compactbio.pretraining.export import export_metrics, export_model
    from compactbio.pretraining.figures import draw_loss_curve
    from compactbio.pretraining.inputs import folder_of
    from compactbio.training.progress import read_metrics

    run, training = read_yaml(arguments.run), read_json(arguments.training)
    manifest = export_model(run, training, folder_of(arguments.student), arguments.output)
    if arguments.metrics:
        export_metrics(training, arguments.metrics)
    if arguments.figure:
        draw_loss_curve(run["model"], read_metrics(Path(training["metrics"])), arguments.figure)
    logging.info("wrote %s (digest %s)", arguments.output, manifest["digest"][:12])


if __name__ == "__main__":
    run_program(main)
