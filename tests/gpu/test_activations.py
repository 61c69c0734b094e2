"""Linear layers with an activation on the device itself: the formula, and the trial."""

from __future__ import annotations

import pytest
import torch
from helpers.activations import activation_error

from compactbio.kernels.activated import FORMULAS
from compactbio.kernels.fused_blocks import trial

WIDTHS = (512, 1200, 3072)  # of the paper's models
LIMITS = {torch.float32: 1e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}


def types(device):
    """Of the device; the interpreter has no bf16."""
    return list(LIMITS) if device.type == "cuda" else [torch.float32, torch.float16]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("formula", FORMULAS)
def test_output_and_gradients_are_the_formulas(device, width, formula):
    rows = 5001 if device.type == "cuda" else 37
    for dtype in types(device):
        assert activation_error(width, formula, rows=(rows,), dtype=dtype, device=device) < LIMITS[dtype], dtype


def test_the_trial_agrees(device):
    inner = [(width, formula) for width in WIDTHS for formula in FORMULAS]
    for dtype in types(device):
        assert trial(device, dtype, [], inner) is None, dtype
