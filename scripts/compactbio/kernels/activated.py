"""A linear layer with the activation behind it, as feed-forward parts begin: read and written less than plainly.

The product of matrices adds the bias and, for ReLU, applies it before anything is in memory (torch's fused product).
Backward is one pass in place of two: the activation's gradient is written, and summed up for the bias on the way.
Products are torch's, arithmetic besides is in fp32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.activations import GELUActivation

RELU, GELU = "relu", "gelu"
FORMULAS = {RELU: 0, GELU: 1}  # numbers of `programs.activations`
# of a program: rows at a time, columns, and times that it goes on to further rows, so that sums are few
TILE, BLOCK, TILES, WARPS = 16, 256, 4, 8


def formula_of(activation: nn.Module) -> str | None:
    """Return the formula (one of `FORMULAS`) of an activation, or None: there is no kernel for it."""
    if isinstance(activation, nn.ReLU):
        return RELU
    return GELU if isinstance(activation, GELUActivation) and activation.act is F.gelu else None


def activated(states: Tensor, weight: Tensor, added: Tensor, bias: Tensor, formula: str) -> Tensor:
    """Return activation(states weight^T + added), of the shape (..., width).

    Args:
        states: (..., inputs), of one type with `weight` (width, inputs) and `added` (width,).
        added: the bias as it is added, which gets no gradient.
        bias: the same, which gets it, as the parameter that it is.
        formula: one of `FORMULAS`.
    """
    output: Tensor = _Activated.apply(states, weight, added, bias, formula)
    return output


class _Activated(torch.autograd.Function):
    """See `activated`."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, added: Tensor, bias: Tensor, formula: str) -> Tensor:
        shape, rows = (*states.shape[:-1], len(weight)), states.flatten(0, -2)
        if formula == RELU:
            output = kept = torch._addmm_activation(added, rows, weight.t()).view(shape)
        else:
            kept = torch.addmm(added, rows, weight.t()).view(shape)
            output = F.gelu(kept)
        ctx.save_for_backward(rows, weight, kept)
        ctx.formula, ctx.shape = formula, states.shape
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from compactbio.kernels.programs import activations as programs

        states, weight, kept = ctx.saved_tensors
        rows, width = len(states), len(weight)
        to_product = torch.empty(rows, width, dtype=kept.dtype, device=kept.device)
        grid = -(-rows // (TILE * TILES)), -(-width // BLOCK)
        sums = torch.empty(grid[0], width, device=kept.device)
        programs.backward[grid](
            gradient.contiguous(), kept, to_product, sums, rows, width,
            BLOCK=BLOCK, TILE=TILE, TILES=TILES, FORMULA=FORMULAS[ctx.formula], num_warps=WARPS,
        )  # fmt: skip
        wanted = ctx.needs_input_grad
        to_states = (to_product @ weight).view(ctx.shape) if wanted[0] else None
        to_weight = to_product.t() @ states if wanted[1] else None
        return to_states, to_weight, None, sums.sum(0), None
