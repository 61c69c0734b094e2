"""Copies of linear layers' weights in half precision, made once a step instead of in every forward pass.

Autocast converts the weights in each pass. Here each pass reads the copies, and gradients are added to the weights' as
they are with autocast, in fp32, without a converted one in memory. No number differs from autocast's. States may bring
a copy of their own (`keep_half`), which is read in place of a conversion.

The layer that gives logits may have rows filled up (`fill_rows`): a GPU multiplies fast where rows of its operands
begin at multiples of 16 bytes, which those of BERT's vocabularies do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_COPY = "compactbio_half"  # the attribute of a tensor

ROWS = 64  # a multiple of it is what rows are filled up to, as NVIDIA's guide for tensor cores has it
ABSENT = -3e4  # the logit of what is no token, in the range of fp16: softmax gives it 0


def fill_rows(layer: nn.Linear) -> None:
    """Have copies of a layer with a bias, which are made later, filled up: it gives `filled_rows`, ABSENT behind."""
    layer.__dict__["fills"] = True


def filled_rows(count: int) -> int:
    """Return how many values a filled layer gives in place of so many."""
    return -(-count // ROWS) * ROWS


def keep_half(states: Tensor, copy: Tensor) -> None:
    """Have linear layers read a copy of states in half precision, which somebody made with them."""
    setattr(states, _COPY, (copy, _version(states)))


def half_of(states: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the copy of states of this type where there is one and they did not change since, else the states."""
    copy, version = getattr(states, _COPY, (None, None))
    return states if copy is None or copy.dtype != dtype or version != _version(states) else copy


def _version(states: Tensor) -> int | None:
    """Return what tells whether states were changed in place; None where torch does not count that."""
    return None if states.is_inference() else states._version


class HalfCopies:
    """The copies of all linear layers of some modules, which read them under autocast from now on."""

    def __init__(self, modules: Iterable[nn.Module], dtype: torch.dtype) -> None:
        copies: dict[Tensor, Tensor] = {}
        layers = [layer for module in modules for layer in module.modules()]
        # an embedding's weight may be a linear layer's too: torch adds up what both give before it adds it to the rest
        shared = {
            one for layer in layers if not isinstance(layer, nn.Linear) for one in layer.parameters(recurse=False)
        }
        for layer in layers:
            if isinstance(layer, nn.Linear) and type(layer) in (nn.Linear, Linear):
                own = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
                fills = "fills" in layer.__dict__
                copies |= {value: _copied(value, dtype, fills=fills) for value in own if value not in copies}
                layer.__class__ = Linear
                layer.__dict__["copies"] = [copies[value] for value in own]  # no part of what is saved
                layer.__dict__["alone"] = [value not in shared for value in own]
        self.trained = [(value, copy[: len(value)]) for value, copy in copies.items() if value.requires_grad]

    @torch.no_grad()
    def refresh(self) -> None:
        """Take up what the last update made of the weights; frozen ones stay."""
        if self.trained:
            weights, copies = zip(*self.trained, strict=True)
            torch._foreach_copy_(list(copies), list(weights))


def _copied(value: Tensor, dtype: torch.dtype, *, fills: bool) -> Tensor:
    """Return a copy of a weight or a bias, with more rows where it fills."""
    if not fills:
        return value.detach().to(dtype)
    absent = 0.0 if value.dim() > 1 else ABSENT
    copy = value.new_full((filled_rows(len(value)), *value.shape[1:]), absent, dtype=dtype)
    copy[: len(value)] = value.detach()
    return copy


class Linear(nn.Linear):
    """A linear layer that reads copies of its weights where autocast would make them."""

    copies: list[Tensor]
    alone: list[bool]  # whether a weight is read by linear layers alone

    def forward(self, input: Tensor) -> Tensor:
        """Return the layer's output."""
        if not self.halves(input):
            return super().forward(input)
        read = self.read()
        input = half_of(input, self.copies[0].dtype)
        return super().forward(input) if read is None else F.linear(input, *read)

    def halves(self, input: Tensor) -> bool:
        """Return whether autocast would take the type of the copies."""
        kind = input.device.type
        return torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == self.copies[0].dtype

    def read(self) -> list[Tensor] | None:
        """Return the copies, by which gradients come to weight and bias.

        None: predictions, which weights that changed since may precede, read the weights.
        """
        if not self.weight.requires_grad:
            return self.copies
        if not torch.is_grad_enabled():
            return None
        own: list[Any] = [self.weight] if self.bias is None else [self.weight, self.bias]
        return [_Read.apply(*one) for one in zip(own, self.copies, self.alone, strict=True)]


def operands(layer: nn.Linear, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return states, weight and bias of a linear layer that has one, as it multiplies and adds them.

    The bias gets no gradient by what is returned: who asks gives it that, and spares a sum over all rows.
    """
    kind = states.device.type
    weight, bias = layer.weight, layer.bias.detach()
    if not torch.is_autocast_enabled(kind):
        return states, weight, bias
    dtype = torch.get_autocast_dtype(kind)
    read = layer.read() if isinstance(layer, Linear) and layer.halves(states) else None
    weight, bias = (weight, bias) if read is None else (read[0], read[1].detach())
    return half_of(states, dtype).to(dtype), weight.to(dtype), bias.to(dtype)


class _Read(torch.autograd.Function):
    """Returns a copy of a weight, and gives its gradient to the weight."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, copy: Tensor, alone: bool) -> Tensor:
        ctx.weight, ctx.alone = weight, alone
        return copy.view_as(copy)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None]:
        sums, gradient = ctx.weight.grad, gradient[: len(ctx.weight)]
        if sums is None or not ctx.alone:
            return gradient.to(ctx.weight.dtype), None, None
        sums.add_(gradient)
        return None, None, None
