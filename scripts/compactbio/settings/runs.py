"""One settings block per run: everything that decides its result, nothing about where it runs."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

FOLDED_LAYOUTS = {"gad"}


def source_of(config: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return the definition of a checkpoint or model, or None where the name is neither's."""
    return config["checkpoints"].get(name) or config["models"].get(name)


def student_kind(model: dict[str, Any]) -> tuple[str, Any]:
    """Return which of teacher_layers, checkpoint and shape a model's student is made from, and its value."""
    student = {key: value for key, value in (model.get("student") or {}).items() if value is not None}
    return next(iter(student.items()))


def pretraining_run(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the content of a model's run.yaml: what distillation or continual training reads."""
    model = config["models"][name]
    kind, value = student_kind(model)
    return deepcopy(
        {
            "model": name,
            "architecture": model["architecture"],
            "tokenizer": model["tokenizer"],
            "teacher": model.get("teacher"),
            "student": {kind: value},
            "objective": model["objective"],
            "optimisation": {**config["pretraining"]["optimisation"], **model.get("optimisation", {})},
            "masked_fraction": config["pretraining"]["masked_fraction"],
            "max_length": config["corpus"]["max_length"],
            "seed": config["pretraining"]["seed"],
            "quirks": config["quirks"],
        }
    )


def finetuning_run(config: dict[str, Any], model: str, dataset: str) -> dict[str, Any]:
    """Return the content of run.yaml for one (model, dataset): its runs and their hyper-parameters."""
    definition = config["datasets"][dataset]
    task = definition["task"]
    return deepcopy(
        {
            "model": model,
            "dataset": dataset,
            "task": task,
            "labels": definition.get("labels", []),
            "positive_labels": definition.get("positive_labels", []),
            "validation_fraction": definition.get("validation_fraction"),
            "runs": _runs(config["run"]["seeds"], definition.get("folds")),
            "hyperparameters": finetuning_options(config, definition),
        }
    )


def finetuning_options(config: dict[str, Any], definition: dict[str, Any]) -> dict[str, Any]:
    """Return a dataset's hyper-parameters: its kind's, its own merged over them; null leaves one out."""
    merged = {**config["finetuning"][definition["task"]], **definition.get("finetuning", {})}
    return {name: value for name, value in merged.items() if value is not None}


def _runs(seeds: list[int], folds: list[int] | None) -> list[dict[str, Any]]:
    """Return one run per seed, or one per fold with the first seed: folds are the repetition then."""
    if folds is None:
        return [{"run": f"seed{seed}", "seed": seed, "fold": 0} for seed in seeds]
    return [{"run": f"seed{seeds[0]}-fold{fold}", "seed": seeds[0], "fold": fold} for fold in folds]
