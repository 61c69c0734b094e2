"""Write the student of a pre-training run as it is before the first step."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

from compactbio.digests import add_verify, sha256_of_file
from compactbio.files import MANIFEST, read_manifest, replacing_folder
from compactbio.imports import import_models
from compactbio.locks import locked
from compactbio.logs import run_program
from compactbio.settings.results import TrainingResults
from compactbio.settings.runs import read_pretraining_run

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, initialise, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, type=Path, help="run.yaml of the pre-training run")
    parser.add_argument("--teacher", type=Path, help="teacher's folder, for student.teacher_layers")
    parser.add_argument("--checkpoint", type=Path, help="checkpoint's folder, for student.checkpoint")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer's folder, for student.shape")
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    add_verify(parser)
    arguments = parser.parse_args()

    import_models()
    from compactbio.provenance import write_provenance
    from compactbio.students.checkpoints import write_model_folder
    from compactbio.students.initialisation import initialise_student
    from compactbio.students.parameters import count_parameters

    started = time.perf_counter()
    folders = {name: getattr(arguments, name) for name in ("teacher", "checkpoint", "tokenizer")}
    student = initialise_student(read_pretraining_run(arguments.run), **folders)
    with locked(arguments.output):  # the folder and its record are of one process
        with replacing_folder(arguments.output) as folder:
            manifest = write_model_folder(folder, student.model, student.tokenizer, student.origin)
        inputs = {TrainingResults.run.name: sha256_of_file(arguments.run)}
        given = {name: source for name, source in folders.items() if source is not None}
        inputs |= {name: read_manifest(source, contents=False)["digest"] for name, source in given.items()}
        seconds = time.perf_counter() - started
        write_provenance(arguments.output, inputs, seconds, outputs={MANIFEST: manifest["digest"]})
    log.info(
        "%s: %s parameters (encoder), from %s, MLM head: %s",
        student.origin["model"],
        f"{count_parameters(arguments.output).encoder:,}",
        student.origin["source"],
        student.origin["mlm_head"],
    )


if __name__ == "__main__":
    run_program(main)
