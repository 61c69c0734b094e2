"""What fine-tuning writes about itself, field by field: result.json of a run, training.json and metrics.jsonl of all.

`older` marks what files of earlier versions lack.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from compactbio.digests import AGAIN
from compactbio.files import read_json, write_text
from compactbio.forms import read_json_lines
from compactbio.provenance import require_written
from compactbio.settings.results import Finetuning
from compactbio.settings.runs import Options

FINISHED = "finished"  # folder of a run beside its checkpoints, which holds the next two, provenance and kept weights
PREDICTIONS, METRICS = Finetuning.predictions.name, Finetuning.metrics.name
RESULT = "result.json"
SECONDS = "seconds.json"  # beside a run's checkpoints


class Effort(TypedDict):
    """seconds.json: what the tries of a run cost so far."""

    seconds: float
    gpu_hours: float
    tries: int


Notes = dict[str, int]
"""Of a part: rows, features, and what was cut, split or empty."""

GridPoint = dict[str, Any]
"""A point of a grid: its hyper-parameters, its validation score by the metric's name, run, fingerprint, chosen."""


class RunFacts(TypedDict):
    """What a training leaves: steps done, the epoch (from 1) whose weights were taken, counts of each part."""

    steps: int
    epoch: NotRequired[int]  # older
    loss_last_epoch: float | None
    train: Notes
    validation: Notes | None
    test: Notes


class RunResult(RunFacts):
    """result.json of a finished run; `seconds` are the sum over its tries."""

    fingerprint: str
    seed: int
    fold: int
    seconds: float


class NamedResult(RunResult):
    """A finished run in training.json."""

    run: str


class TrainingRecord(TypedDict):
    """training.json: `weights` is the digest of the kept model, None where none is kept."""

    fingerprint: str
    steps: int
    seconds: float
    hyperparameters: NotRequired[Options]  # older
    grid: NotRequired[list[GridPoint]]  # older
    runs: list[NamedResult]
    weights: NotRequired[str | None]  # older


class EpochLine(TypedDict):
    """A line of metrics.jsonl: epoch from 1, steps done, mean loss, validation metrics where there are such data."""

    epoch: int
    step: int
    loss: float | None
    validation: dict[str, float] | None


class NamedEpochLine(EpochLine):
    """A line of the published metrics.jsonl."""

    run: str


def read_result(folder: Path) -> RunResult:
    """Return the result of the finished run in a folder."""
    result: RunResult = read_json(folder / RESULT, RunResult, f"delete {folder} and {AGAIN}")
    return result


def read_training(path: Path) -> TrainingRecord:
    """Return the content of training.json.

    Raises:
        UserError: it is missing, or is none that finetune_model wrote.
    """
    require_written(path)
    content: TrainingRecord = read_json(path, TrainingRecord, f"finetune_model writes it: delete it and {AGAIN}")
    return content


def read_epochs(folder: Path) -> list[EpochLine]:
    """Return the epochs of the finished run in a folder."""
    return read_json_lines(folder / METRICS, EpochLine)


def read_named_epochs(path: Path) -> list[NamedEpochLine]:
    """Return the epochs of all runs in a published metrics.jsonl."""
    require_written(path)
    return read_json_lines(path, NamedEpochLine)


def write_epochs(path: Path, lines: Iterable[EpochLine]) -> None:
    """Write metrics.jsonl."""
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
