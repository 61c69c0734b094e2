"""One settings block per run: everything that decides its result, nothing about where it runs."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from compactbio.settings.finetuning_run import FinetuningRun, Options, Run
from compactbio.settings.pretraining_run import PretrainingRun
from compactbio.settings.selection import STAGE, kept_weights, stage_before, student_kind
from compactbio.training.optimizer_settings import without_default_optimizer


def pretraining_run(config: dict[str, Any], name: str) -> PretrainingRun:
    """Return the content of a model's run.yaml: what distillation or continual training reads."""
    model = config["models"][name]
    kind, value = student_kind(model)
    # by the schema, and `check_relations`, an Optimisation
    numbers: Any = without_default_optimizer({**config["pretraining"]["optimisation"], **model.get("optimisation", {})})
    run: PretrainingRun = {
        "model": name,
        "architecture": model["architecture"],
        "tokenizer": model["tokenizer"],
        "teacher": model.get("teacher"),
        "student": {kind: value},
        "objective": model["objective"],
        "optimisation": numbers,
        "masked_fraction": config["pretraining"]["masked_fraction"],
        "max_length": config["corpus"]["max_length"],
        "seed": config["pretraining"]["seed"],
        "quirks": config["quirks"],
    }
    return deepcopy(run)


def finetuning_run(config: dict[str, Any], model: str, dataset: str) -> FinetuningRun:
    """Return the content of run.yaml for one (model, dataset): its runs and their hyper-parameters.

    A dataset that others only start from has its first run alone.
    """
    definition = config["datasets"][dataset]
    runs = _runs(config["run"]["seeds"], definition.get("folds"))
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
    if dataset in kept_weights(config):
        run["keep_weights"] = True
    return deepcopy(run)


def finetuning_options(config: dict[str, Any], definition: dict[str, Any]) -> Options:
    """Return a dataset's hyper-parameters: its kind's, its own merged over them; null leaves one out."""
    merged = {**config["finetuning"][definition["task"]], **definition.get("finetuning", {})}
    options = {name: value for name, value in merged.items() if value is not None and name != STAGE}
    return without_default_optimizer(options)


def _runs(seeds: list[int], folds: list[int] | None) -> list[Run]:
    """Return one run per seed, or one per fold with the first seed: folds are the repetition then."""
    if folds is None:
        return [{"run": f"seed{seed}", "seed": seed, "fold": 0} for seed in seeds]
    return [{"run": f"seed{seeds[0]}-fold{fold}", "seed": seeds[0], "fold": fold} for fold in folds]
