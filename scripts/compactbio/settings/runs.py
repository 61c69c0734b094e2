"""run.yaml of a pre-training and of a fine-tuning: what it holds, how it is made of a configuration, and its reading.

It says everything that decides a result, and nothing about where the training runs.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from compactbio.digests import AGAIN
from compactbio.files import read_yaml
from compactbio.forms import require_form
from compactbio.settings.quirks import FINETUNING_SEEDS, finetuning_quirks, pretraining_quirks
from compactbio.settings.selection import STAGE, kept_weights, stage_before, student_kind, tokenizer_name
from compactbio.training.optimizer_settings import without_default_optimizer

Options = dict[str, Any]
"""Hyper-parameters by name; which there are depends on the kind of task, as the configuration's schema says."""


class Optimisation(TypedDict):
    """The numbers of a pre-training's optimizer and schedule; `attention_dropout` None: the architecture's.

    The optimizer and the groups stand there only where they are not AdamW for all parameters alike.
    """

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
    optimizer: NotRequired[dict[str, Any]]
    parameter_groups: NotRequired[list[dict[str, Any]]]


class PretrainingRun(TypedDict):
    """The pre-training of one model.

    `objective` is a list of terms (see `terms.objective`); `student` has one key: teacher_layers, checkpoint or shape.
    """

    model: str
    architecture: NotRequired[str]
    tokenizer: NotRequired[str]
    teacher: NotRequired[str | None]
    student: NotRequired[dict[str, Any]]
    objective: list[dict[str, Any]]
    optimisation: Optimisation
    masked_fraction: float
    max_length: int
    seed: int
    quirks: dict[str, str]
    deterministic: NotRequired[bool]
    """Whether a GPU calculates the same bits again; no part of what names the results."""


class Run(TypedDict):
    """One training: its name in every file, the seed it draws from, the fold of the dataset (0 where it has none)."""

    run: str
    seed: int
    fold: int


class FinetuningRun(TypedDict):
    """The fine-tuning of one model on one dataset.

    `labels` are in the order of their ids, `starts_from` names the dataset of an earlier fine-tuning whose weights
    this one takes up, `quirks` has the switches that change a number of it. `shared_seed` is what order, dropout and
    validation rows of all runs are drawn from, where not from each run's own.
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
    quirks: NotRequired[dict[str, str]]
    shared_seed: NotRequired[int]
    keep_weights: NotRequired[bool]
    deterministic: NotRequired[bool]
    """As in pre-training; it stands there where it is true."""


def pretraining_run(config: dict[str, Any], name: str) -> PretrainingRun:
    """Return the content of a model's run.yaml: what distillation or continual training reads."""
    model = config["models"][name]
    kind, value = student_kind(model)
    # by the schema, and `check_relations`, an Optimisation
    numbers: Any = without_default_optimizer({**config["pretraining"]["optimisation"], **model.get("optimisation", {})})
    run: PretrainingRun = {
        "model": name,
        "architecture": model["architecture"],
        "tokenizer": tokenizer_name(config, name),
        "teacher": model.get("teacher"),
        "student": {kind: value},
        "objective": model["objective"],
        "optimisation": numbers,
        "masked_fraction": config["pretraining"]["masked_fraction"],
        "max_length": config["corpus"]["max_length"],
        "seed": config["pretraining"]["seed"],
        "quirks": pretraining_quirks(config, name),
    }
    if config["run"]["deterministic"]:
        run["deterministic"] = True
    return deepcopy(run)


def finetuning_run(config: dict[str, Any], model: str, dataset: str) -> FinetuningRun:
    """Return the content of run.yaml for one (model, dataset): its runs and their hyper-parameters.

    There is a run for each seed, or for each fold with the first seed: folds are the repetition then. A dataset that
    others only start from has its first run alone.
    """
    definition, seeds = config["datasets"][dataset], config["run"]["seeds"]
    folds = definition.get("folds")
    runs: list[Run] = (
        [{"run": f"seed{seed}", "seed": seed, "fold": 0} for seed in seeds]
        if folds is None
        else [{"run": f"seed{seeds[0]}-fold{fold}", "seed": seeds[0], "fold": fold} for fold in folds]
    )
    run: FinetuningRun = {
        "model": model,
        "dataset": dataset,
        "task": definition["task"],
        "labels": definition.get("labels", []),
        "positive_labels": definition.get("positive_labels", []),
        "validation_fraction": definition.get("validation_fraction"),
        "runs": runs if dataset in config["run"]["datasets"] else runs[:1],
        "hyperparameters": finetuning_options(config, definition),
    }
    stage = stage_before(config, dataset)
    if stage is not None:
        run["starts_from"] = stage
    quirks = finetuning_quirks(config, model, dataset)
    if quirks:
        run["quirks"] = quirks
    if FINETUNING_SEEDS in quirks:
        run["shared_seed"] = seeds[0]
    if dataset in kept_weights(config):
        run["keep_weights"] = True
    if config["run"]["deterministic"]:
        run["deterministic"] = True
    return deepcopy(run)


def finetuning_options(config: dict[str, Any], definition: dict[str, Any]) -> Options:
    """Return a dataset's hyper-parameters: its kind's, its own merged over them; null leaves one out."""
    merged = {**config["finetuning"][definition["task"]], **definition.get("finetuning", {})}
    options = {name: value for name, value in merged.items() if value is not None and name != STAGE}
    return without_default_optimizer(options)


def read_pretraining_run(path: Path) -> PretrainingRun:
    """Return the content of a pre-training's run.yaml, which `_read` checks."""
    run: PretrainingRun = _read(path, PretrainingRun)
    return run


def read_finetuning_run(path: Path) -> FinetuningRun:
    """Return the content of a fine-tuning's run.yaml, which `_read` checks."""
    run: FinetuningRun = _read(path, FinetuningRun)
    return run


def _read(path: Path, form: type) -> Any:
    """Return the content of a run.yaml.

    Raises:
        UserError: the file is missing, is not YAML, or its content is not of the form.
    """
    content = read_yaml(path)
    require_form(content, form, path, f"delete it and {AGAIN}, or write it again with scripts/resolve_run.py")
    return content
