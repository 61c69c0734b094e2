"""training.json and provenance.json of a finished pre-training."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from compactbio.errors import UserError
from compactbio.files import read_json
from compactbio.pretraining.inputs import RECIPE, RunInputs
from compactbio.provenance import Provenance, gather_provenance
from compactbio.settings.results import TrainingResults
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.progress import read_metrics
from compactbio.training.submissions import Submissions


class TrainingRecord(TypedDict):
    """Content of training.json: how far a training is, and where its last checkpoint and its metrics lie."""

    model: str
    fingerprint: str
    step: int
    total_steps: int
    checkpoint: str
    metrics: str
    seconds: float
    loss_first: float | None
    loss_last: float | None
    """Of the first and last logged step; None where none was logged."""


def read_training_record(path: Path) -> TrainingRecord:
    """Return the content of training.json.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    record: TrainingRecord = read_json(path)
    return record


def training_record(inputs: RunInputs, folder: Path) -> TrainingRecord:
    """Return the content of training.json of a finished run."""
    checkpoints = CheckpointFolder(folder)
    state = checkpoints.read_state()
    lines = [line for line in read_metrics(TrainingResults(folder).metrics) if "loss" in line]
    checkpoint = checkpoints.latest()
    if checkpoint is None:
        raise UserError(
            f"{folder} is marked as finished but holds no complete checkpoint: remove the folder and start again"
        )
    return {
        "model": inputs.run["model"],
        "fingerprint": inputs.fingerprint,
        "step": state["step"],
        "total_steps": state["total_steps"],
        "checkpoint": str(checkpoint),
        "metrics": str(TrainingResults(folder).metrics),
        "seconds": state["seconds"],
        "loss_first": lines[0]["loss"] if lines else None,
        "loss_last": lines[-1]["loss"] if lines else None,
    }


def provenance_record(inputs: RunInputs, record: TrainingRecord, submissions: Submissions) -> Provenance:
    """Return the content of provenance.json of a finished run, whose last submission has ended."""
    return gather_provenance(
        inputs.digests,
        record["seconds"],
        model=inputs.run["model"],
        fingerprint=inputs.fingerprint,
        recipe=RECIPE,
        seed=inputs.run["seed"],
        steps=record["step"],
        gpu_hours=submissions.gpu_hours(),
        submissions=submissions.all,
    )
