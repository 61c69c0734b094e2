"""Linear layers with an activation: the kernel beside the plain formula in double precision, on any device."""

from __future__ import annotations

import torch

from compactbio.kernels.activated import activated
from helpers.map_terms import CPU, relative
from helpers.residual_norms import draw, exact

INPUTS = 24


def plainly(states, weight, bias, formula):
    """The formula in double precision: GELU by the error function (Hendrycks and Gimpel 2016)."""
    values = states @ weight.T + bias
    return values * (values > 0) if formula == "relu" else values / 2 * (1 + torch.erf(values / 2**0.5))


def whole(*shape, seed):
    return torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(seed))


def activation_error(width, formula, *, rows=(37,), dtype=torch.float32, device=CPU) -> float:
    """The largest relative difference of output and gradients; 37 is no multiple of what a program takes.

    The layer's sums are exact, and none is 0 or near it: by a rounding it would change its sign, and ReLU's gradient.
    """
    states = whole(*rows, INPUTS, seed=0).to(device, dtype).requires_grad_()
    weight = (whole(width, INPUTS, seed=1) / 8).to(device, dtype).requires_grad_()
    bias = ((2 * whole(width, seed=2) + 1) / 16).to(device).requires_grad_()
    given = [states, weight, bias]
    doubles = exact(given)
    output = activated(states, weight, bias.detach().to(dtype), bias, formula)
    assert output.dtype == dtype and output.shape == (*rows, width)
    expected = plainly(*doubles, formula)
    direction = draw(*rows, width, seed=3, dtype=dtype, device=device).detach()
    found = torch.autograd.grad((output * direction).float().sum(), given)
    assert [one.dtype for one in found] == [one.dtype for one in given]
    wanted = torch.autograd.grad((expected * direction.double()).sum(), doubles)
    return max(relative(output, expected), *map(relative, found, wanted))
