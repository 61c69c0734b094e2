"""The end of a transformer's block in one pass over memory: normalised(dropout(output) + what went around the block).

Plainly, under autocast, this is five operations with a result in memory each (dropout, sum, normalisation, and a copy
in half precision for each product of matrices that reads it), about half of all bytes that a step moves. Here each
value is read once and written once; the copy in half precision is a second output, which `training.half_copies` finds
beside the first. Arithmetic is in fp32: dropout's product is not rounded to half precision before it is added.

Dropout is a function of a seed and a value's place (see `draws`), so that backward makes it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from compactbio.kernels.draws import draw_seed, threshold
from compactbio.kernels.sizes import power_of_two
from compactbio.training.half_copies import keep_half

WIDEST = 1024  # values of a row: more are not held on the chip
VALUES, WARPS = 4096, 8  # of a program at a time: nothing is spilled on sm_80 and sm_90 (ptxas)
ROWS = 32  # that a program of the backward pass goes through, so that sums for weight and biases are few


@dataclass(frozen=True)
class Norm:
    """A normalisation: LayerNorm with its epsilon or, where that is None, a product with the weight and the bias."""

    weight: Tensor
    bias: Tensor
    epsilon: float | None


def residual_norm(
    states: Tensor,
    residual: Tensor | None,
    norm: Norm,
    *,
    dropout: float = 0.0,
    late: bool = False,
    half: torch.dtype | None = None,
    seed: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Return normalised(dropout(states) + residual), fp32, of the shape (..., width) of the states.

    Args:
        residual: None: nothing is added.
        late: dropout(normalised(states + residual)), as embeddings end.
        half: of the copy that `training.half_copies.half_of` returns for the result; None: it has none.
        seed: of dropout (see `draws`); None: one is drawn.
        bias: which somebody added to all rows of the states; it gets its gradient here.
    """
    if dropout > 0.0 and seed is None:
        seed = draw_seed(states.device)
    given = (states, residual, norm.weight, norm.bias, bias)
    wanted = torch.is_grad_enabled() and any(one is not None and one.requires_grad for one in given)
    output, copy = _ResidualNorm.apply(*given, norm.epsilon, dropout, late, half, seed, wanted)
    if copy is not None:
        keep_half(output, copy)
    return output


class _ResidualNorm(torch.autograd.Function):
    """See `residual_norm`."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, residual: Tensor | None, weight: Tensor, bias: Tensor, states_bias: Tensor | None,
        epsilon: float | None, dropout: float, late: bool, half: torch.dtype | None, seed: Tensor | None, wanted: bool,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        from compactbio.kernels.programs import norms as programs

        states = states.contiguous()
        residual = None if residual is None else residual.contiguous()
        output = torch.empty_like(states, dtype=torch.float32)
        copy = None if half is None else torch.empty_like(states, dtype=half)
        early, late = dropout > 0.0 and not late, dropout > 0.0 and late
        changed = residual is not None or early  # else what is normalised are the states
        sums = torch.empty_like(output) if wanted and changed else states
        constants = _constants(states.shape[-1]) | {
            "ADDS": residual is not None, "DROPS": early, "DROPS_LATE": late, "NORMALISES": epsilon is not None,
        }  # fmt: skip
        rows = states.numel() // states.shape[-1]
        numbers = (rows, epsilon or 0.0, *threshold(dropout))
        absent = weight  # an address for what a program does not touch
        programs.forward[(-(-rows // constants["TILE"]),)](
            states, absent if residual is None else residual, weight, bias, output, absent if copy is None else copy,
            sums, absent if seed is None else seed, *numbers,
            **constants, HALVES=half is not None, KEEPS=wanted and changed,
        )  # fmt: skip
        if wanted:
            ctx.save_for_backward(sums, weight, absent if seed is None else seed)
            ctx.constants, ctx.numbers = constants, numbers
            ctx.types = states.dtype, None if residual is None else residual.dtype
        ctx.set_materialize_grads(False)
        return output, copy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None, of_copy: Tensor | None) -> tuple[Tensor | None, ...]:
        from compactbio.kernels.programs import norms as programs

        sums, weight, seed = ctx.saved_tensors
        gradient, of_copy = (None if one is None else one.contiguous() for one in (gradient, of_copy))
        own, other = ctx.types
        to_states = torch.empty_like(sums, dtype=own)
        to_residual = None if other is None else torch.empty_like(sums, dtype=other)
        tiles = max(ROWS // ctx.constants["TILE"], 1)
        count = -(-ctx.numbers[0] // (ctx.constants["TILE"] * tiles))
        sums_of_rows = torch.empty(3, count, len(weight), device=weight.device)
        programs.backward[(count,)](
            weight if gradient is None else gradient, weight if of_copy is None else of_copy, sums, weight,
            to_states, weight if to_residual is None else to_residual, *sums_of_rows.unbind(), seed, *ctx.numbers,
            **ctx.constants, TILES=tiles, WHOLE=gradient is not None, HALVES=of_copy is not None,
        )  # fmt: skip
        to_weight, to_bias, to_states_bias = sums_of_rows.sum(1).to(weight.dtype).unbind()
        of_states = to_states_bias if ctx.needs_input_grad[4] else None
        return to_states, to_residual, to_weight, to_bias, of_states, *[None] * 6


def _constants(width: int) -> dict[str, int]:
    """Return what programs for rows of a width are compiled for, and their warps."""
    block = power_of_two(width)
    return {"WIDTH": width, "BLOCK": block, "TILE": max(VALUES // block, 1), "num_warps": WARPS}
