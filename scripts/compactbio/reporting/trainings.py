"""Finished fine-tunings, as the table of hyper-parameters and the learning curves need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from compactbio.errors import UserError
from compactbio.finetuning.runs.records import (
    NamedEpochLine,
    NamedResult,
    TrainingRecord,
    read_named_epochs,
    read_training,
)
from compactbio.reporting.grouping import grouped
from compactbio.settings.results import Finetuning


@dataclass(frozen=True)
class Training:
    """The fine-tuning of a model on a dataset: training.json, and the epochs of metrics.jsonl by run."""

    facts: TrainingRecord
    epochs: dict[str, list[NamedEpochLine]]

    @property
    def runs(self) -> list[NamedResult]:
        """The runs: each with run, steps, epoch and seconds."""
        return self.facts["runs"]

    def option(self, name: str) -> object:
        """Return a hyper-parameter, that of the chosen point where there was a grid; None where it is not known."""
        return self.facts.get("hyperparameters", {}).get(name)

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
        epochs = grouped((line["run"], line) for line in read_named_epochs(metrics))
        lacking = [run["run"] for run in facts["runs"] if run["run"] not in epochs]
        if lacking:
            raise UserError(f"{metrics} has no line of run {lacking[0]}: finetune again")
        trainings[path.parent.parent.name, path.parent.name] = Training(facts, epochs)
    return trainings
