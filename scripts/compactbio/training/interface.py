"""What the training loop is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from compactbio.training.checkpoints import TrainingState


class Stop(Protocol):
    """What may end a training before its last step, such as `deadlines.StopSignal`."""

    @property
    def reason(self) -> str | None:
        """Why the loop should save and leave, None while it should go on."""


@dataclass
class MicroBatch:
    """A part of a global batch that goes through the module at once.

    What is no tensor in `tensors` stays on the host, where reading it waits for no device.
    `counts` are what it contributes to each denominator; the loop sums them over micro-batches and processes.
    The names `tokens`, `sequences` and `flops` (what the model's arithmetic takes, without padding and recomputation),
    where given, also make the rates in the metrics.
    """

    tensors: dict[str, Any]
    counts: dict[str, float]
    fixed: bool = False
    """Its shapes are among a few that repeat, and what is no tensor is a constant: its pass may be captured."""


class StepModule(torch.nn.Module):
    """What the loop trains: returns the sum over terms of weight x local sum / global denominator.

    `forward` leaves each term's detached share in `last_terms`; shares add up over micro-batches and processes.
    """

    last_terms: dict[str, Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.last_terms = {}

    def computing_modules(self) -> list[torch.nn.Module]:
        """Return the modules whose weights a pass reads, those included that are not trained."""
        return [self]

    def forward(self, tensors: dict[str, Any], denominators: Mapping[str, float | Tensor]) -> Tensor:
        """Return this micro-batch's share of the loss, a scalar."""
        raise NotImplementedError


@dataclass
class LoopSettings:
    """How long to train and when to log, save and leave. Steps are optimizer updates, counted from 1."""

    total_steps: int
    max_gradient_norm: float | None = 1.0
    checkpoint_every_steps: int | None = None
    checkpoint_every_minutes: float | None = None
    log_every_steps: int = 50
    deadline: float | None = None
    """A `time.monotonic()` value; the time of a save is subtracted."""
    stop: Stop | None = None
    at_step: Callable[[int], None] | None = None
    """Called with 0 right before this call's first step and with 1 after it, such as `tries.Tries.at_step`."""
    state_facts: TrainingState = field(default_factory=TrainingState)
    """Written to state.json beside the step: model and fingerprint."""


@dataclass
class LoopResult:
    """Where a training stands: finished means step == total_steps, nothing else."""

    step: int
    total_steps: int
    finished: bool
    reason: str
    started_at: int
    seconds: float
