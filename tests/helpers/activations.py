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


def activation_error(width, formula, *, rows=(37,), dtype=torch.float32, device=CPU) -> float:
    """The largest relative difference of output and gradients; 37 is no multiple of what a program takes."""
    states = draw(*rows, INPUTS, dtype=dtype, device=device)
    weight = draw(width, INPUTS, seed=1, dtype=dtype, device=device)
    # rounded, or values near 0 would change their sign
    bias = draw(width, seed=2, dtype=dtype, device=device).detach().float().requires_grad_()
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
