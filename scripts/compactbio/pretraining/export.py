"""A finished run as a model folder that transformers reads, with a card that says how it was made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from compactbio.architectures import architecture_of
from compactbio.card_texts import CARD
from compactbio.digests import AGAIN
from compactbio.errors import UserError
from compactbio.files import Manifest, read_manifest, replacing_folder, require_recorded, write_text
from compactbio.pretraining.model_cards import pretrained_card
from compactbio.pretraining.training_record import TrainingRecord
from compactbio.settings.runs import PretrainingRun
from compactbio.students.checkpoints import write_facts
from compactbio.students.models import load_masked_lm, quiet_transformers
from compactbio.students.tokenizers import TOKENIZER_FILES
from compactbio.training.checkpoints import read_weights
from compactbio.training.progress import read_metrics

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
    require_recorded(student)
    model = load_masked_lm(student)
    weights = {
        name.removeprefix(STUDENT_PREFIX): value
        for name, value in read_weights(checkpoint).items()
        if name.startswith(STUDENT_PREFIX)
    }
    missing, unexpected = model.load_state_dict(weights, strict=False)
    tied = set(missing) <= set(model.all_tied_weights_keys) | set(model.all_tied_weights_keys.values())
    if unexpected or not tied:
        raise UserError(f"the checkpoint {checkpoint} does not fit the student {student}: remove it and train again")
    model.tie_weights()
    with quiet_transformers(), replacing_folder(output) as folder:
        model.save_pretrained(folder)
        for name in TOKENIZER_FILES:
            if (student / name).is_file():
                shutil.copyfile(student / name, folder / name)
        origin = {"source": "train", "model": run["model"], "fingerprint": training["fingerprint"]}
        origin |= {"generated": notice} if notice else {}
        manifest = write_facts(folder, architecture_of(model).name, mlm_head=True, origin=origin)
        write_text(folder / CARD, pretrained_card(run, training, notice))
        return manifest


def export_metrics(training: TrainingRecord, output: Path) -> None:
    """Write the metrics of a finished run, whole lines only: the checkpoint that they lie beside may be removed."""
    lines = read_metrics(Path(training["metrics"]))
    write_text(output, "".join(f"{json.dumps(line)}\n" for line in lines))
