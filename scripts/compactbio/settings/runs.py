"""One settings block per run: everything that decides its result, nothing about where it runs."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

FOLDED_LAYOUTS = {"gad"}
STAGE = "starts_from"  # in a dataset's `finetuning`: no hyper-parameter, but another dataset


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
    """Return the content of run.yaml for one (model, dataset): its runs and their hyper-parameters.

    A dataset that others only start from has its first run alone.
    """
    definition = config["datasets"][dataset]
    runs = _runs(config["run"]["seeds"], definition.get("folds"))
    run = {
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


def finetuning_options(config: dict[str, Any], definition: dict[str, Any]) -> dict[str, Any]:
    """Return a dataset's hyper-parameters: its kind's, its own merged over them; null leaves one out."""
    merged = {**config["finetuning"][definition["task"]], **definition.get("finetuning", {})}
    return {name: value for name, value in merged.items() if value is not None and name != STAGE}


def stage_before(config: dict[str, Any], dataset: str) -> str | None:
    """Return the dataset from whose fine-tuned model this one's fine-tuning starts; None: from the model as it is.

    None also for a name without a definition, which the checks refuse elsewhere.
    """
    return config["datasets"].get(dataset, {}).get("finetuning", {}).get(STAGE)


def finetuned_datasets(config: dict[str, Any]) -> list[str]:
    """Return the datasets that each model is fine-tuned on: those of the run, then those that they start from."""
    datasets = list(config["run"]["datasets"])
    for dataset in datasets:  # grows while it is walked: a stage may have one before it
        stage = stage_before(config, dataset)
        if stage is not None and stage not in datasets:
            datasets.append(stage)
    return datasets


def trained_models(config: dict[str, Any]) -> list[str]:
    """Return the models that the run trains, their teachers included, in the order of their definition."""
    wanted: set[str] = set()
    waiting: list[str | None] = list(config["run"]["models"])
    while waiting:
        name = waiting.pop()
        model = config["models"].get(name)
        if name is not None and model is not None and model["source"] == "train" and name not in wanted:
            wanted.add(name)
            waiting.append(model.get("teacher"))
    return [name for name in config["models"] if name in wanted]


def kept_weights(config: dict[str, Any]) -> set[str]:
    """Return the datasets whose first run's weights are kept.

    Those asked for, those that others start from, and the one whose models are measured for deployment.
    """
    stages = {stage_before(config, dataset) for dataset in finetuned_datasets(config)}
    return {*config["run"]["keep_weights"], *stages, deployment_dataset(config)} - {None}


def deployment_dataset(config: dict[str, Any]) -> str | None:
    """Return the dataset whose models are measured for deployment; None where no dataset of the run is."""
    name = config["reporting"]["deployment_dataset"]
    return name if name in config["run"]["datasets"] else None


def _runs(seeds: list[int], folds: list[int] | None) -> list[dict[str, Any]]:
    """Return one run per seed, or one per fold with the first seed: folds are the repetition then."""
    if folds is None:
        return [{"run": f"seed{seed}", "seed": seed, "fold": 0} for seed in seeds]
    return [{"run": f"seed{seeds[0]}-fold{fold}", "seed": seeds[0], "fold": fold} for fold in folds]
