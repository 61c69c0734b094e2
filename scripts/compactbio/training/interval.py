"""What the steps between two lines of metrics add up to: losses on the device, counts and time on the host."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor

from compactbio.training.progress import Rates


@dataclass(frozen=True)
class Gathered:
    """The sums of all processes on the host; a row is [first bad step or 0, loss, a term, ...].

    A checkpoint's extra.json keeps them, so that the line after a resumption is that of an uninterrupted run.
    """

    steps: int
    names: list[str]
    rows: list[list[float]]

    @property
    def first_bad_step(self) -> int:
        """Return the first step in which a number was not finite in some process, 0 where there is none."""
        return int(min((row[0] for row in self.rows if row[0] > 0), default=0))

    @property
    def loss(self) -> float:
        """Return the mean loss of the steps."""
        return sum(row[1] for row in self.rows) / self.steps

    @property
    def terms(self) -> dict[str, float]:
        """Return the mean of each term's share of the loss."""
        return {
            name: sum(row[column] for row in self.rows) / self.steps for column, name in enumerate(self.names, start=2)
        }


class LossSums:
    """Loss and terms of this process since the last line; nothing waits for the device before `gather`."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.clear()

    def clear(self) -> None:
        """Begin a new interval."""
        device = self.accelerator.device
        self.steps = 0
        self.loss = torch.zeros((), device=device)
        self.first_bad = torch.zeros((), device=device)
        self.terms: dict[str, Tensor] = {}

    def add_terms(self, terms: dict[str, Tensor]) -> None:
        """Add a micro-batch's shares."""
        for name, value in terms.items():
            self.terms[name] = self.terms[name] + value.float() if name in self.terms else value.float()

    def add_step(self, step: int, loss: Tensor, finite: Tensor) -> None:
        """Add a step's loss and whether its numbers were finite."""
        self.first_bad = torch.where(finite | (self.first_bad > 0), self.first_bad, float(step))
        self.loss += loss
        self.steps += 1

    def gather(self) -> Gathered | None:
        """Return the sums of all processes, None where no step was added; waits for the device."""
        if self.steps == 0:
            return None
        names = sorted(self.terms)
        vector = torch.stack([self.first_bad, self.loss, *(self.terms[name] for name in names)])
        return Gathered(self.steps, names, self.accelerator.gather(vector[None].double()).tolist())

    def restore(self, saved: Gathered) -> None:
        """Take up the interval that a checkpoint was saved in.

        Another number of processes gives the sums to the first of them.
        """
        rank, rows = self.accelerator.process_index, saved.rows
        if len(rows) != self.accelerator.num_processes:
            totals = [sum(column) for column in zip(*rows, strict=True)]
            rows = [totals] + [[0.0] * len(totals)] * (self.accelerator.num_processes - 1)
        self.steps = saved.steps
        _, self.loss, *terms = torch.tensor(rows[rank], dtype=torch.float32, device=self.accelerator.device).unbind()
        self.terms = dict(zip(saved.names, terms, strict=True))


class Stopwatch:
    """Steps and counts per second of training since the last line; saves and evaluations are no part of it."""

    def __init__(self, now: float) -> None:
        self.clear(now)

    def clear(self, now: float) -> None:
        """Begin anew at a `time.monotonic()` value."""
        self.began = now
        self.steps = 0
        self.counts: dict[str, float] = {}

    def add_counts(self, counts: dict[str, float]) -> None:
        """Add what the global batch of a step counts."""
        for name, count in counts.items():
            self.counts[name] = self.counts.get(name, 0.0) + count

    def leave_out(self, seconds: float) -> None:
        """Take time that was no training out of the rates."""
        self.began += seconds

    def read(self, now: float, *, steps_left: int, peak_flops: float | None) -> Rates:
        """Return the rates and the time left as fields of a line of metrics.

        Args:
            peak_flops: of all devices together, where known; FLOPs appear only where the batches count `flops`.
        """
        seconds = max(now - self.began, 1e-9)
        per_step = seconds / max(self.steps, 1)
        rates: Rates = {
            "tokens_per_second": self.counts.get("tokens", 0.0) / seconds,
            "sequences_per_second": self.counts.get("sequences", 0.0) / seconds,
            "seconds_per_step": per_step,
            "eta_seconds": steps_left * per_step,
        }
        if "flops" in self.counts:
            rates["model_flops_per_second"] = self.counts["flops"] / seconds
            if peak_flops is not None:
                rates["model_flop_utilisation"] = rates["model_flops_per_second"] / peak_flops
        return rates
