"""A finished run as a model folder that transformers reads, with a card that says how it was made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from compactbio.architectures import architecture_named
from compactbio.architectures.record import POOLER, Architecture
from compactbio.card_texts import CARD
from compactbio.digests import AGAIN
from compactbio.errors import UserError
from compactbio.files import Manifest, read_manifest, replacing_folder, write_text
from compactbio.pretraining.model_cards import pretrained_card
from compactbio.pretraining.training_record import TrainingRecord
from compactbio.settings.runs import PretrainingRun
from compactbio.students.checkpoints import read_checkpoint, write_facts
from compactbio.students.tokenizers import TOKENIZER_FILES
from compactbio.students.weights import WEIGHTS, read_shapes
from compactbio.training.checkpoints import read_arrays
from compactbio.training.progress import read_metrics
from compactbio.training.submissions import Submissions

STUDENT_PREFIX = "student."  # of the student's weights among those of the training step


def export_model(
    run: PretrainingRun, training: TrainingRecord, student: Path, output: Path, notice: str = ""
) -> Manifest:
    """Write the model folder of a finished run and return its manifest.

    It holds config.json, model.safetensors, tokenizer files and README.md; configuration and tokenizer are those of the
    student that the training started from. The card lies beside what the manifest lists, so that its words enter no
    digest. `notice`, where the data call for one, stands over it and in the manifest, as the origin's `generated`.

    Raises:
        UserError: the run is unfinished, its checkpoint is gone or does not fit the student.
    """
    if training["step"] != training["total_steps"]:
        raise UserError(
            f"{run['model']} stands at step {training['step']} of {training['total_steps']}: train on first"
        )
    checkpoint = Path(training["checkpoint"])
    if not checkpoint.is_dir():
        raise UserError(
            f"the checkpoint {checkpoint} is gone: remove training.json of {run['model']} and run the workflow again"
        )
    read_manifest(checkpoint, remake=f"remove training.json of {run['model']} and {AGAIN}")
    architecture = read_checkpoint(student)["architecture"]
    weights = _student_weights(checkpoint, student, architecture_named(architecture))
    with replacing_folder(output) as folder:
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})  # as transformers writes it
        for name in ("config.json", *TOKENIZER_FILES):
            if (student / name).is_file():
                shutil.copyfile(student / name, folder / name)
        origin = {"source": "train", "model": run["model"], "fingerprint": training["fingerprint"]}
        origin |= {"generated": notice} if notice else {}
        manifest = write_facts(folder, architecture, mlm_head=True, origin=origin)
        write_text(folder / CARD, pretrained_card(run, training, Submissions(checkpoint.parent).all, notice))
        return manifest


def _student_weights(checkpoint: Path, student: Path, architecture: Architecture) -> dict[str, np.ndarray]:
    """Return the weights of a training's student by the names that its folder has, read without torch.

    A pooler is left out: no training has one, since its objectives read hidden states and the MLM head.

    Raises:
        UserError: the checkpoint lacks one, has others, or one has another shape.
    """
    arrays, tied = read_arrays(checkpoint)
    shapes = read_shapes(student / WEIGHTS)
    shapes = {name: shape for name, shape in shapes.items() if architecture.part_of(name) != POOLER}
    weights = {}
    for name in shapes:
        stored = STUDENT_PREFIX + name
        found = arrays.get(tied.get(stored, stored))
        if found is not None and found.shape == shapes[name]:
            weights[name] = found
    left = {name for name in arrays if name.startswith(STUDENT_PREFIX)}
    left -= {tied.get(STUDENT_PREFIX + name, STUDENT_PREFIX + name) for name in weights}
    if left or weights.keys() != shapes.keys():
        raise UserError(f"the checkpoint {checkpoint} does not fit the student {student}: remove it and train again")
    return weights


def export_metrics(training: TrainingRecord, output: Path) -> None:
    """Write the metrics of a finished run, whole lines only: the checkpoint that they lie beside may be removed."""
    lines = read_metrics(Path(training["metrics"]))
    write_text(output, "".join(f"{json.dumps(line)}\n" for line in lines))
