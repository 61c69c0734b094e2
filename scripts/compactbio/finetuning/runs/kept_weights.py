"""The model that a fine-tuning leaves beside its results: published there, and compared with its record when read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from compactbio.card_texts import CARD
from compactbio.errors import UserError
from compactbio.files import MANIFEST, read_json, read_manifest, replacing_folder, write_text
from compactbio.finetuning.runs.digests import model_digest
from compactbio.finetuning.runs.model_cards import finetuned_card
from compactbio.finetuning.runs.planning import PlannedRun
from compactbio.finetuning.runs.records import read_training
from compactbio.settings.results import MODEL, Finetuning
from compactbio.settings.runs import FinetuningRun

FINETUNED = "finetuned"  # kind of a kept model, in its manifest


def about(settings: FinetuningRun) -> dict[str, Any]:
    """Return what the manifest of a model says of the fine-tuning that left it."""
    return {name: value for name, value in settings.items() if name in ("model", "dataset", "task", "labels")}


def publish_weights(run: PlannedRun, folder: Path, notice: str = "") -> str | None:
    """Copy a finished run's weights to a folder and return their digest; None, and no folder, where none are kept.

    Its card is beside what the manifest lists, so that its words are no part of a digest; the notice stands over it.
    What an earlier fine-tuning left there goes in either case, since it belongs to no result that is here.

    Raises:
        UserError: the folder holds something else.
    """
    manifest = folder / MANIFEST
    left = manifest.is_file() and read_json(manifest).get("kind") == FINETUNED
    if not run.keeps_weights:
        if left:
            shutil.rmtree(folder)
        return None
    if folder.exists() and not left:
        raise UserError(f"{folder} holds no fine-tuned model and would be replaced by one: move it away")
    with replacing_folder(folder) as temporary:
        shutil.copytree(run.finished / MODEL, temporary, dirs_exist_ok=True)
        text = finetuned_card(read_json(temporary / MANIFEST), run.hyperparameters, run.name, notice=notice)
        write_text(temporary / CARD, text)
    return model_digest(folder)


def kept_digest(folder: Path) -> str:
    """Return the digest of a kept model, after comparing its files with training.json beside the folder.

    Args:
        folder: <results>/finetuning/<model>/<dataset>/model.

    Raises:
        UserError: the folder is not there, or holds other files than the fine-tuning left.
    """
    training = Finetuning(folder.parent).training
    recorded = read_training(training).get("weights")
    again = f"delete {training} and run the workflow again"
    if recorded is None:
        raise UserError(f"{folder.parent} keeps no weights: add {folder.parent.name} to run.keep_weights")
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder} is gone, though {training} says that the weights were kept: {again}")
    try:
        read_manifest(folder)
        found = model_digest(folder)
    except UserError as error:
        raise UserError(f"{error}: {again}") from None
    if found != recorded:
        raise UserError(f"{folder} holds other weights than {training} says: {again}")
    return found
