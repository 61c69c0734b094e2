"""Which epoch's weights a run ends with where that is not the last: the best by a validation metric.

A run may stop early, when no better epoch came for some epochs. It then leaves the loop as it would for a signal,
with a checkpoint, so a run that is killed before its results are stored ends in the same way when it is started again.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from compactbio.errors import UserError, reading
from compactbio.files import MANIFEST, read_json, read_manifest, replacing_folder, write_json, write_manifest
from compactbio.training.progress import read_metrics

if TYPE_CHECKING:
    import torch

    from compactbio.training.deadlines import StopSignal

BEST = "best"  # folder of a run, beside its checkpoints
WEIGHTS, FACTS = "model.safetensors", "epoch.json"
EARLY = "early stopping"


class _Facts(TypedDict):
    """Content of the file of facts, beside the metric's value by its name."""

    step: int


class BestEpoch:
    """The best epoch so far, its weights kept in a folder. Of equal epochs the earlier one is the best.

    Stands in the place of the loop's stop signal: `reason` is the signal's own, or says that no epoch was better for
    `patience` evaluations.
    """

    def __init__(self, folder: Path, metric: str, patience: int | None, stop: StopSignal | None) -> None:
        self.folder = folder / BEST
        self.metric = metric
        self.patience = patience
        self.stop = stop
        self.values: dict[int, float] = {}

    @property
    def reason(self) -> str | None:
        """Why the loop should leave, None while it should go on."""
        signal = None if self.stop is None else self.stop.reason
        return signal or (EARLY if self.is_over else None)

    @property
    def step(self) -> int:
        """The step after the best epoch so far."""
        return max(self.values, key=lambda step: (self._rank(self.values[step]), -step))

    @property
    def last_step(self) -> int:
        """The step after the last epoch so far."""
        return max(self.values)

    @property
    def is_over(self) -> bool:
        """Whether no epoch after the best was better for `patience` epochs."""
        if self.patience is None or not self.values:
            return False
        best = self.step
        return sum(step > best for step in self.values) >= self.patience

    def resume(self, metrics: Path, step: int) -> None:
        """Take up what a metrics file says of the evaluations up to a step."""
        for line in read_metrics(metrics):
            if "evaluation" in line and line["step"] <= step:
                self.values[line["step"]] = self._value(line["evaluation"])

    def add(self, step: int, metrics: dict[str, float], module: torch.nn.Module) -> None:
        """Take an epoch's validation metrics; keep the module's weights if it is the best so far."""
        self.values[step] = self._value(metrics)
        if self.step != step:
            return
        from safetensors.torch import save_model

        with replacing_folder(self.folder) as temporary:
            save_model(module, str(temporary / WEIGHTS))
            write_json(temporary / FACTS, {"step": step, self.metric: self.values[step]})
            write_manifest(temporary)

    def load(self, module: torch.nn.Module) -> int:
        """Load the best epoch's weights into a module and return the step after it.

        Raises:
            UserError: they are not there, or of another step than the metrics say.
        """
        from safetensors.torch import load_model

        again = f"delete {self.folder.parent}"
        if (self.folder / MANIFEST).is_file():  # older versions wrote none
            read_manifest(self.folder, remake=again)
        kept = read_json(self.folder / FACTS, _Facts, again)["step"]
        if kept != self.step:
            raise UserError(
                f"{self.folder} holds the weights of step {kept}, but the best is step {self.step}: {again}"
            )
        with reading(self.folder / WEIGHTS, again):
            load_model(module, str(self.folder / WEIGHTS), strict=True)
        logging.info("the weights after step %d are taken: %s %.4f", kept, self.metric, self.values[kept])
        return kept

    def _value(self, metrics: dict[str, float]) -> float:
        """Return the metric that decides."""
        if self.metric not in metrics:
            raise UserError(f"best_epoch_by is {self.metric!r}; the validation metrics are {', '.join(metrics)}")
        return metrics[self.metric]

    def _rank(self, value: float) -> float:
        """Return a number that is higher for better values."""
        return -value if self.metric == "loss" else value
