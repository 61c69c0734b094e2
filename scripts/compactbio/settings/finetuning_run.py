"""run.yaml of a fine-tuning: what it holds, and its reading; `runs.finetuning_run` makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NotRequired, TypedDict

from compactbio.errors import UserError
from compactbio.files import read_yaml

Options = dict[str, Any]
"""Hyper-parameters by name; which there are depends on the kind of task, as the configuration's schema says."""
REQUIRED = ("model", "dataset", "task", "labels", "runs", "hyperparameters")  # keys of every run.yaml


class Run(TypedDict):
    """One training: its name in every file, the seed it draws from, the fold of the dataset (0 where it has none)."""

    run: str
    seed: int
    fold: int


class FinetuningRun(TypedDict):
    """The fine-tuning of one model on one dataset.

    `labels` are in the order of their ids, `starts_from` names the dataset of an earlier fine-tuning whose weights
    this one takes up.
    """

    model: str
    dataset: str
    task: str
    labels: list[str]
    positive_labels: NotRequired[list[str]]
    validation_fraction: NotRequired[float | None]
    runs: list[Run]
    hyperparameters: Options
    starts_from: NotRequired[str]
    keep_weights: NotRequired[bool]


def read_finetuning_run(path: Path) -> FinetuningRun:
    """Return the content of run.yaml.

    Raises:
        UserError: the file is missing, is not YAML or lacks a key.
    """
    content: FinetuningRun = read_yaml(path)
    lacking = [key for key in REQUIRED if key not in (content or {})]
    if lacking or not isinstance(content, dict):
        raise UserError(f"{path} lacks {', '.join(lacking)}: write it with scripts/resolve_run.py")
    return content
