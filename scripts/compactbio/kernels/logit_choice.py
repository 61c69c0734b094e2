"""Whether the kernels for logits are used: a trial of a training's own terms against their plain formulas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from compactbio.kernels.choice import difference, refusal
from compactbio.kernels.logits import compare_logits
from compactbio.terms.objective import Entry
from compactbio.training.devices import tensor_type

# largest relative difference of a trial's results: both sides compute in fp32, and of a gradient that both round to
# half precision few values differ
AGREEMENT = 2e-3
TRIAL_COUNTS = (True, False, True, True)  # which rows do


def logit_refusal(device: torch.device, *, precision: str, vocabulary: int, entries: Sequence[Entry]) -> str | None:
    """Return why terms on logits are computed by plain formulas, or None where the kernels take their place.

    Args:
        precision: fp32, tf32, bf16 or fp16.
        vocabulary: values of a row of logits.
        entries: of the objective, those on logits that a kernel can give.
    """
    return refusal(device, lambda: trial(device, tensor_type(precision), vocabulary, entries))


def trial(device: torch.device, dtype: torch.dtype, vocabulary: int, entries: Sequence[Entry]) -> str | None:
    """Return what of a small example differs from the plain formulas, or None.

    The programs are those of the training: compiled for its vocabulary, its type of logits and its terms. The kernels
    are given numbers that are none in the row that does not count.
    """
    generator = torch.Generator().manual_seed(0)
    student, teacher = (
        (4.0 * torch.randn(len(TRIAL_COUNTS), vocabulary, generator=generator)).to(device, dtype) for _ in range(2)
    )
    real = torch.tensor(TRIAL_COUNTS, device=device)
    labels = torch.tensor([0, -100, vocabulary // 2, vocabulary - 1], device=device)
    broken = torch.where(real[:, None], student, torch.full_like(student, torch.nan))
    for entry in entries:
        compares = entry.term.needs_teacher
        other, counted = (teacher, {"real": real}) if compares else (labels, {})
        arguments: dict[str, Any] = {**entry.arguments, **counted}
        plain = partial(entry.term.function, **arguments)
        assert entry.term.on_chip is not None
        kernel = partial(compare_logits, **arguments, **entry.term.on_chip)
        found, expected = _results(kernel, broken, other), _results(plain, student, other)
        differs = difference((entry.term.name, f"gradients of {entry.term.name}"), found, expected, AGREEMENT)
        if differs is not None:
            return differs
    return None


def _results(function: Callable[[Tensor, Tensor], Tensor], student: Tensor, other: Tensor) -> list[Tensor]:
    """Return a term and its gradient."""
    student = student.clone().requires_grad_()
    total = function(student, other)
    # by a factor, as that of a step is one
    [gradient] = torch.autograd.grad(0.25 * total, student)
    return [total.detach(), gradient]
