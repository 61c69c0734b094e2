"""Write a finished run as a folder that transformers reads, with a model card and its metrics."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

from compactbio.digests import add_verify
from compactbio.files import MANIFEST, read_manifest
from compactbio.locks import locked
from compactbio.logs import run_program


def main() -> None:
    """Export one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="run.yaml of the training")
    parser.add_argument("--training", type=Path, required=True, help="training.json of the finished training")
    parser.add_argument("--student", type=Path, required=True, help="folder (or manifest) the training started from")
    parser.add_argument("--output", type=Path, required=True, help="folder of the exported model")
    parser.add_argument("--metrics", type=Path, help="metrics.jsonl of the training, copied here")
    parser.add_argument("--notice", default="", help="what stands over the card, where the data call for it")
    add_verify(parser)
    arguments = parser.parse_args()
    from compactbio.pretraining.export import export_metrics, export_model
    from compactbio.pretraining.inputs import folder_of
    from compactbio.pretraining.training_record import read_training_record
    from compactbio.provenance import write_provenance
    from compactbio.settings.runs import read_pretraining_run

    started = time.perf_counter()
    run, training = read_pretraining_run(arguments.run), read_training_record(arguments.training)
    student = folder_of(arguments.student)
    with locked(arguments.output):  # the folder and its record are of one process
        manifest = export_model(run, training, student, arguments.output, arguments.notice)
        inputs = {
            "training": training["fingerprint"],
            "checkpoint": read_manifest(Path(training["checkpoint"]), contents=False)["digest"],
            "student": read_manifest(student, contents=False)["digest"],
        }
        seconds = time.perf_counter() - started
        write_provenance(arguments.output, inputs, seconds, outputs={MANIFEST: manifest["digest"]})
    if arguments.metrics:
        export_metrics(training, arguments.metrics)
    logging.info("wrote %s (digest %s)", arguments.output, manifest["digest"][:12])


if __name__ == "__main__":
    run_program(main)
