"""Dropout on a processor at half the cost of torch's own, which draws a float for every value.

A value is dropped by 16 random bits of its own, four values to a draw of torch's default generator, so that the
probability is the nearest multiple of 1/65,536 (0.1 becomes 0.100006); what is kept is divided by what is then left,
so that expectations are exact.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 2**16  # of 16 bits


class _SixteenBitDropout(torch.autograd.Function):
    """x where its bits are above a threshold, else 0, times what keeps the expectation."""

    @staticmethod
    def forward(context: Any, values: Tensor, probability: float) -> Tensor:
        dropped = round(probability * LEVELS)
        draws = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = draws.view(torch.int16)[: values.numel()].view(values.shape)
        context.save_for_backward(bits)
        context.threshold = dropped - LEVELS // 2 - 1
        context.scale = LEVELS / (LEVELS - dropped)
        return _select(values, bits, context.threshold, context.scale)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (bits,) = context.saved_tensors
        return _select(gradient, bits, context.threshold, context.scale), None


def _select(values: Tensor, bits: Tensor, threshold: int, scale: float) -> Tensor:
    """Return scale x values where bits > threshold, else 0; torch.where is over ten times slower here."""
    return torch.ops.aten.threshold_backward(values, bits.to(values.dtype), threshold).mul_(scale)


def dropout(values: Tensor, probability: float) -> Tensor:
    """Return values with dropout, of the same shape; by 16 bits a value where they are float32 on a processor."""
    if probability == 0.0:
        return values
    if values.dtype is torch.float32 and values.device.type == "cpu" and probability < 1.0:
        return _SixteenBitDropout.apply(values, probability)
    return F.dropout(values, p=probability)


class Dropout(nn.Dropout):
    """A model's dropout, by the function of this module."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the input, in training mode with dropout."""
        return dropout(input, self.p) if self.training else input


def replace_dropout(model: nn.Module) -> None:
    """Make every dropout of a model one of this module's, in place; probabilities and names stay."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = Dropout
