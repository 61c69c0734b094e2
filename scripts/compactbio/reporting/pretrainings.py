"""How models were pre-trained, as the loss figure and the costs need it: objective, loss by tokens and by time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compactbio.errors import UserError
from compactbio.provenance import Provenance, read_provenance
from compactbio.settings.results import TrainingResults
from compactbio.settings.runs import PretrainingRun, read_pretraining_run
from compactbio.training.progress import MetricsLine, read_metrics


@dataclass(frozen=True)
class Pretraining:
    """One pre-training: the run file, the provenance and the lines of metrics that have a loss."""

    run: PretrainingRun
    provenance: Provenance
    lines: list[MetricsLine]

    @property
    def objective(self) -> tuple[tuple[str, float, float | None], ...]:
        """The terms of the loss with weight and temperature: losses of unlike objectives do not compare."""
        terms = ((term["term"], float(term["weight"]), term.get("temperature")) for term in self.run["objective"])
        return tuple(sorted(terms, key=str))

    @property
    def gpus(self) -> float:
        """GPUs used at a time; 0 on a CPU."""
        seconds = self.provenance["seconds"]
        return 3600 * self.provenance["gpu_hours"] / seconds if seconds else 0.0

    def losses(self) -> np.ndarray:
        """Return the logged losses, each a mean over the steps since the line before: (lines,)."""
        return np.array([line["loss"] for line in self.lines], dtype=float)

    def tokens(self) -> np.ndarray:
        """Return how many real tokens had been read at each line: (lines,)."""
        rates = np.array([line["tokens_per_second"] * line["seconds_per_step"] for line in self.lines], dtype=float)
        return np.cumsum(rates * self._steps())

    def device_hours(self) -> np.ndarray:
        """Return the time spent in steps at each line, in GPU-hours, or in hours of the job on a CPU: (lines,)."""
        seconds = np.array([line["seconds_per_step"] for line in self.lines], dtype=float)
        return np.cumsum(seconds * self._steps()) / 3600 * (self.gpus or 1)

    def _steps(self) -> np.ndarray:
        """Return the steps that each line stands for: (lines,)."""
        return np.diff([0, *(line["step"] for line in self.lines)])


def read_pretrainings(paths: Iterable[Path]) -> dict[str, Pretraining]:
    """Return pre-trainings by model, from <model>/metrics.jsonl with run.yaml and provenance.json beside it.

    Raises:
        UserError: one of the files is missing or no training wrote it.
    """
    found = {}
    for path in paths:
        made = TrainingResults(path.parent)
        run, provenance = read_pretraining_run(made.run), read_provenance(made.provenance)
        lines = [line for line in read_metrics(path) if "loss" in line]
        if not lines:
            raise UserError(f"{path} has no line with a loss: export_model copies it from the training")
        found[path.parent.name] = Pretraining(run, provenance, lines)
    return found


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Return the mean over the `width` (odd) values around each; at the ends over those that there are: (n,)."""
    ones = np.ones(width)
    return np.convolve(values, ones, mode="same") / np.convolve(np.ones(len(values)), ones, mode="same")
