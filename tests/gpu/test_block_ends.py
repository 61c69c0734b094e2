"""The kernel for ends of blocks on the device itself: the formula, its draws, and the trial."""

from __future__ import annotations

import pytest
import torch
from helpers.residual_norms import EPSILON, norm_error

from compactbio.kernels.fused_blocks import trial
from compactbio.kernels.residual_norm import Norm, residual_norm

DROPOUT, SIGMAS = 0.1, 6.0
WIDTHS = (768, 312, 512, 128)  # of the paper's models, and between MobileBERT's bottlenecks
LIMITS = {torch.float32: 1e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}


def types(device, width):
    """All at one width, as each is compiled; the interpreter has no bf16."""
    if device.type == "cpu":
        return [torch.float32, torch.float16]
    return list(LIMITS) if width == WIDTHS[0] else [torch.bfloat16]


@pytest.mark.parametrize("width", WIDTHS)
def test_output_and_gradients_are_the_formulas(device, width):
    rows = 5001 if device.type == "cuda" else 37
    for dtype in types(device, width):
        for epsilon, dropout, adds in ((EPSILON, DROPOUT, True), (None, 0.0, True), (None, 0.0, False)):
            error = norm_error(width, epsilon, dropout, adds=adds, rows=rows, dtype=dtype, device=device)
            assert error < LIMITS[dtype], (dtype, epsilon)


def test_the_trial_agrees(device):
    for width in WIDTHS if device.type == "cuda" else WIDTHS[3:]:
        for dtype in types(device, width):
            assert trial(device, dtype, [width], []) is None, (width, dtype)


def test_dropout_has_its_mean_and_no_memory(device):
    rows, width = (4096, 768) if device.type == "cuda" else (256, 128)
    norm = Norm(torch.ones(width, device=device), torch.zeros(width, device=device), None)
    ones = torch.ones(rows, width, device=device)
    torch.manual_seed(3)
    first, second = (residual_norm(ones, None, norm, dropout=DROPOUT) != 0 for _ in range(2))
    count = rows * width
    for kept in (first, second):
        assert abs(float(kept.double().mean()) - (1 - DROPOUT)) < SIGMAS * (DROPOUT * (1 - DROPOUT) / count) ** 0.5
        sums = kept.sum(-1).double()  # binomial
        assert abs(float(sums.var()) / (width * DROPOUT * (1 - DROPOUT)) - 1) < SIGMAS * (2 / rows) ** 0.5
    centred = [kept.double() - kept.double().mean() for kept in (first, second)]
    variance = float(centred[0].square().mean())
    for one, other in ((centred[0], centred[1]), (centred[0][1:], centred[0][:-1])):
        assert abs(float((one * other).mean()) / variance) < SIGMAS / one.numel() ** 0.5
