"""run.yaml of a pre-training: what it holds, and its reading; `runs.pretraining_run` makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from compactbio.errors import UserError
from compactbio.files import read_yaml


class ChosenOptimizer(TypedDict, total=False):
    """What is there only where the configuration says something else than AdamW for all parameters alike."""

    optimizer: dict[str, Any]
    parameter_groups: list[dict[str, Any]]


class Optimisation(ChosenOptimizer):
    """The numbers of a pre-training's optimizer and schedule; `attention_dropout` None: the architecture's."""

    steps: int
    warmup_steps: int
    peak_learning_rate: float
    weight_decay: float
    global_batch_size: int
    schedule: str
    adam_betas: list[float]
    adam_epsilon: float
    max_gradient_norm: float
    precision: str
    attention_dropout: float | None


class Origin(TypedDict, total=False):
    """What a model is made from; `student` has one key: teacher_layers, checkpoint or shape."""

    architecture: str
    tokenizer: str
    teacher: str | None
    student: dict[str, Any]


class PretrainingRun(Origin):
    """The pre-training of one model; `objective` is a list of terms (see `terms.objective`)."""

    model: str
    objective: list[dict[str, Any]]
    optimisation: Optimisation
    masked_fraction: float
    max_length: int
    seed: int
    quirks: dict[str, str]


def read_pretraining_run(path: Path) -> PretrainingRun:
    """Return the content of run.yaml.

    Raises:
        UserError: the file is missing, is not YAML or lacks a key.
    """
    run: PretrainingRun = read_yaml(path)
    if not isinstance(run, dict):
        raise UserError(f"{path} is not a run: resolve_run.py writes one")
    lacking = sorted(PretrainingRun.__required_keys__ - run.keys())
    numbers = Optimisation.__required_keys__ - run.get("optimisation", {}).keys()
    lacking += [f"optimisation.{key}" for key in sorted(numbers)]
    if lacking:
        raise UserError(f"{path} lacks {', '.join(lacking)}: write it again with resolve_run.py")
    return run
