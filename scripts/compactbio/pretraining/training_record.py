"""training.json and provenance.json of a finished pre-training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypedDict

from compactbio.digests import AGAIN
from compactbio.errors import UserError
from compactbio.files import read_json, write_json
from compactbio.pretraining.inputs import RECIPE, RunInputs
from compactbio.provenance import Provenance, gather_provenance
from compactbio.settings.results import Results, TrainingResults
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.progress import read_metrics
from compactbio.training.submissions import Submissions


class TrainingRecord(TypedDict):
    """Content of training.json: how far a training is, and where its last checkpoint and its metrics lie.

    In the file these two are paths from its folder, so that results which are renamed or moved stay whole.
    """

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
    """Return the content of training.json with paths that a program can open.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    record: TrainingRecord = read_json(path, TrainingRecord, f"delete it and {AGAIN}")
    record["checkpoint"] = str(_place(path, record, record["checkpoint"]))
    record["metrics"] = str(_place(path, record, record["metrics"]))
    return record


def write_training_record(path: Path, record: TrainingRecord) -> None:
    """Write training.json of a record whose paths a program can open."""
    places = {key: os.path.relpath(record[key], path.parent) for key in ("checkpoint", "metrics")}
    write_json(path, record | places)


def _place(path: Path, record: TrainingRecord, written: str) -> Path:
    """Return where a file of a training.json lies, whether it is written as a path from there or in the older form.

    That form is a path from the working directory, which is wrong after the results were renamed.
    """
    own = Path(os.path.normpath(path.parent / written))  # as text: folders of the results may be links
    results = Results(Path(os.path.normpath(path.parent / ".." / "..")))
    run = results.checkpoints.pretraining(record["model"]) / record["fingerprint"]
    name = Path(written).name
    return next((place for place in (own, run / name, Path(written), path.parent / name) if place.exists()), own)


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
