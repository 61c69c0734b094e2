"""How models were fine-tuned: hyper-parameters, epochs, validation scores, time, and the points of grids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from compactbio.errors import UserError
from compactbio.finetuning.runs.records import (
    NamedEpochLine,
    NamedResult,
    TrainingRecord,
    read_named_epochs,
    read_training,
)
from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.reporting.render import DASH, Block, Document, Entry, Section, mean_and_std, number
from compactbio.reporting.score_cells import NOT_RUN, summarise
from compactbio.settings.finetuning_run import Options
from compactbio.settings.results import Finetuning, Results, find

OPTIONS = {"learning_rate": "learning rate", "batch_size": "batch size", "epochs": "epochs"}
RECORD_COLUMNS = (
    *("kind", "dataset", "model", "run", *OPTIONS, "epoch", "steps", "seconds", "metric", "validation", "chosen"),
)


@dataclass(frozen=True)
class Training:
    """The fine-tuning of a model on a dataset: training.json, and the epochs of metrics.jsonl by run."""

    facts: TrainingRecord
    epochs: dict[str, list[NamedEpochLine]]

    @property
    def runs(self) -> list[NamedResult]:
        """The runs: each with run, steps, epoch and seconds."""
        return self.facts["runs"]

    @property
    def options(self) -> Options:
        """The hyper-parameters, those of the chosen point where there was a grid."""
        return self.facts.get("hyperparameters", {})

    def epoch_taken(self, run: NamedResult) -> int:
        """Return the epoch, from 1, whose weights a run's predictions come from."""
        return run.get("epoch", len(self.epochs[run["run"]]))

    def validation(self, run: NamedResult, metric: str) -> float | None:
        """Return a run's validation score of that epoch, None without validation data."""
        line = self.epochs[run["run"]][self.epoch_taken(run) - 1]
        return (line["validation"] or {}).get(metric)


Trainings = Mapping[tuple[str, str], Training]


def read_trainings(paths: Iterable[Path]) -> dict[tuple[str, str], Training]:
    """Return fine-tunings by (model, dataset), which are the names of the folders <model>/<dataset>/training.json.

    Raises:
        UserError: a file is none that finetune_model wrote, or metrics.jsonl beside it lacks a run.
    """
    trainings = {}
    for path in paths:
        facts = read_training(path)
        metrics = Finetuning(path.parent).metrics
        epochs: dict[str, list[NamedEpochLine]] = {}
        for line in read_named_epochs(metrics):
            epochs.setdefault(line["run"], []).append(line)
        lacking = [run["run"] for run in facts["runs"] if run["run"] not in epochs]
        if lacking:
            raise UserError(f"{metrics} has no line of run {lacking[0]}: finetune again")
        trainings[path.parent.parent.name, path.parent.name] = Training(facts, epochs)
    return trainings


def find_trainings(results: Path) -> list[Path]:
    """Return the files of fine-tunings that a results folder holds so far."""
    return find(Results(results), Results(results).finetuning("*", "*").training)


def trainings_document(models: Sequence[str], datasets: Mapping[str, str], trainings: Trainings) -> Document:
    """Return the tables of how models were fine-tuned, and of the grids that were tried."""
    blocks = [_runs_block(models, name, task, trainings) for name, task in datasets.items()]
    document = Document(
        "Fine-tuning",
        [
            "Epoch: the one whose weights were taken, mean over the runs. Validation: the standard protocol's score of "
            "that epoch in percent, mean ± sample standard deviation over the runs. Time: all runs together."
        ],
        [Section("", [], blocks)],
    )
    grids = [
        block for name, task in datasets.items() for block in [_grid_block(models, name, task, trainings)] if block
    ]
    if grids:
        text = (
            "Validation score in percent of each point, tried with the first run. Bold: chosen, and trained with all."
        )
        document.sections.append(Section("Grids", [text], grids))
    return document


def _runs_block(models: Sequence[str], dataset: str, task: str, trainings: Trainings) -> Block:
    """Return a dataset's fine-tunings by model."""
    metric = KINDS[task].headline
    rows, missing = [], []
    for model in models:
        training = trainings.get((model, dataset))
        if training is None:
            missing.append(model)
            rows.append([Entry(model), *[Entry(DASH)] * (len(OPTIONS) + 4)])
            continue
        scores = [training.validation(run, metric) for run in training.runs]
        known = [100 * score for score in scores if score is not None]
        mean, std = summarise(known) if len(known) == len(scores) else (None, None)
        rows.append(
            [
                Entry(model),
                *(Entry(str(training.options.get(name, DASH))) for name in OPTIONS),
                Entry(number(fmean(training.epoch_taken(run) for run in training.runs), 1).removesuffix(".0")),
                Entry(mean_and_std(mean, std)),
                Entry(str(len(training.runs))),
                Entry(f"{training.facts['seconds'] / 60:.1f} min"),
            ]
        )
    return Block(
        title=dataset,
        label=f"finetuning-{dataset}".lower(),
        header=["model", *OPTIONS.values(), "epoch", f"validation {METRIC_TITLES[metric]}", "runs", "time"],
        rows=rows,
        notes=[f"{DASH} = {NOT_RUN}: {', '.join(missing)}."] if missing else [],
    )


def _grid_block(models: Sequence[str], dataset: str, task: str, trainings: Trainings) -> Block | None:
    """Return the points of a dataset's grid by model, None where no model had one."""
    present = {model: trainings[model, dataset] for model in models if (model, dataset) in trainings}
    grids = {model: training.facts["grid"] for model, training in present.items() if training.facts.get("grid")}
    if not grids:
        return None
    metric = KINDS[task].headline
    points = {
        tuple(point[name] for name in OPTIONS if name in point): None for grid in grids.values() for point in grid
    }
    names = [name for name in OPTIONS if name in next(iter(grids.values()))[0]]
    rows = []
    for values in points:
        row = [Entry(", ".join(f"{OPTIONS[name]} {value}" for name, value in zip(names, values, strict=True)))]
        for grid in grids.values():
            found = [point for point in grid if tuple(point[name] for name in names) == values]
            row += [Entry(number(100 * point[metric]), "best" if point["chosen"] else "") for point in found[:1]] or [
                Entry(DASH)
            ]
        rows.append(row)
    return Block(
        title=f"{dataset}, validation {METRIC_TITLES[metric]}",
        label=f"grid-{dataset}".lower(),
        header=["point", *grids],
        rows=rows,
    )


def trainings_records(models: Sequence[str], datasets: Mapping[str, str], trainings: Trainings) -> list[dict[str, Any]]:
    """Return one tidy row per run and per point of a grid."""
    records = []
    for dataset, task in datasets.items():
        for model in models:
            training = trainings.get((model, dataset))
            if training is None:
                continue
            common = {"dataset": dataset, "model": model, "metric": KINDS[task].headline}
            chosen = {name: training.options.get(name) for name in OPTIONS}
            for run in training.runs:
                records.append(
                    {
                        **common,
                        **chosen,
                        "kind": "run",
                        "run": run["run"],
                        "epoch": training.epoch_taken(run),
                        "steps": run["steps"],
                        "seconds": run["seconds"],
                        "validation": training.validation(run, KINDS[task].headline),
                    }
                )
            for point in training.facts.get("grid", []):
                options = {name: point.get(name, chosen[name]) for name in OPTIONS}
                score = {"validation": point[KINDS[task].headline], "chosen": point["chosen"], "run": point["run"]}
                records.append({**common, **options, **score, "kind": "grid point"})
    return records
