"""Ends of blocks: the kernel beside the plain formula in double precision, on any device."""

from __future__ import annotations

import torch

from compactbio.kernels.residual_norm import Norm, residual_norm
from compactbio.training.half_copies import half_of
from helpers import map_dropout
from helpers.map_terms import CPU, relative

SEED = 2**61 + 7  # both halves of it count
EPSILON = 1e-5


def draw(*shape, seed=0, dtype=torch.float32, device=CPU):
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return drawn.to(device, dtype).requires_grad_()


def exact(tensors):
    return [None if one is None else one.detach().double().requires_grad_() for one in tensors]


def factors(rows: int, width: int, dropout: float) -> torch.Tensor:
    """What dropout multiplies with, by the same draw in numpy: a row is a token with one head, a value a key."""
    threshold = round(dropout * 2**24)
    kept = (map_dropout.bits(SEED, rows, 1, width)[:, 0] >> 8) >= threshold
    return torch.from_numpy(kept).double() * 2**24 / (2**24 - threshold)


def plainly(states, residual, weight, bias, epsilon, dropout, *, late=False):
    """The formula in double precision, of states (rows, width)."""
    drawn = factors(*states.shape, dropout).to(states.device) if dropout else 1.0
    sums = states if late else states * drawn
    sums = sums if residual is None else sums + residual
    if epsilon is not None:
        centred = sums - sums.mean(-1, keepdim=True)
        sums = centred / (centred.square().mean(-1, keepdim=True) + epsilon).sqrt()
    output = sums * weight + bias
    return output * drawn if late else output


def norm_error(width, epsilon, dropout, *, adds=True, late=False, rows=37, dtype=torch.float32, device=CPU) -> float:
    """The largest relative difference of output, its copy and gradients; 37 is no multiple of what a program takes."""
    half = None if dtype == torch.float32 else dtype
    common = {"device": device}
    states, weight, bias = (
        draw(rows, width, dtype=dtype, **common),
        draw(width, seed=1, **common),
        draw(width, seed=2, **common),
    )
    residual = draw(rows, width, seed=3, **common) if adds else None
    states_bias = draw(width, seed=5, **common)
    given = [states, residual, weight, bias, states_bias]
    doubles = exact(given)
    seed = torch.tensor([SEED], device=device)
    norm = Norm(weight, bias, epsilon)
    output = residual_norm(states, residual, norm, dropout=dropout, late=late, half=half, seed=seed, bias=states_bias)
    assert output.dtype == torch.float32
    outputs = [output] if half is None else [output, half_of(output, half)]
    # a bias that is in the states already
    states_with = doubles[0] + doubles[4] - doubles[4].detach()
    expected = plainly(states_with, *doubles[1:4], epsilon, dropout, late=late)
    directions = draw(len(outputs), rows, width, seed=4, dtype=dtype, **common).detach()
    total = sum((one * direction).float().sum() for one, direction in zip(outputs, directions, strict=True))
    found = torch.autograd.grad(total, [one for one in given if one is not None])
    assert [one.dtype for one in found] == [one.dtype for one in given if one is not None]
    wanted = torch.autograd.grad(
        (expected * directions.double().sum(0)).sum(), [one for one in doubles if one is not None]
    )
    return max(*(relative(one, expected) for one in outputs), *map(relative, found, wanted))
