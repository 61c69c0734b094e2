"""A step of every architecture and objective: the plain formulation, half precision, captured, packed, dropout."""

from __future__ import annotations

import pytest
import torch
from accelerate.state import AcceleratorState
from helpers.gpu_steps import CASES, Step, distance

EVERY_CASE = pytest.mark.parametrize("case", CASES)
EXACT, HALF = 1e-5, 2e-2
EXACT_ON_GPU = 1e-4  # of gradients: attention's kernels may form products of fp32 from TF32 ones (an estimate)


def half_precisions(device):
    """On a GPU both; fp16 needs loss scaling, which a CPU does not have."""
    return ["bf16", "fp16"] if device.type == "cuda" else ["bf16"]


def half_limit(step, precision, plain):
    """What gradients in half precision may differ by: bf16 has 8 bits, which the plain formulation loses as well."""
    rounded = distance(step.plain(torch.bfloat16)[1], plain) if precision == "bf16" else 0.0
    return max(HALF, 1.5 * rounded)


@EVERY_CASE
def test_fp32_is_the_plain_formulation(case, device, tmp_path):
    step = Step(case, device, tmp_path / "tokens")
    loss, gradients, steps = step.ours("fp32")
    expected, plain = step.plain()
    assert loss == pytest.approx(expected, rel=EXACT)
    assert distance(gradients, plain) < (EXACT_ON_GPU if device.type == "cuda" else EXACT)
    assert steps.recorded and not steps.why_plain


@EVERY_CASE
def test_half_precision_is_near_the_plain_formulation(case, device, tmp_path):
    step = Step(case, device, tmp_path / "tokens")
    expected, plain = step.plain()
    for precision in half_precisions(device):
        AcceleratorState._reset_state(reset_partial_state=True)
        loss, gradients, steps = step.ours(precision)
        assert loss == pytest.approx(expected, rel=HALF), precision
        assert distance(gradients, plain) < half_limit(step, precision, plain), precision
        assert steps.recorded and not steps.why_plain


@EVERY_CASE
def test_captured_with_dropout_is_what_is_not_captured(case, device, tmp_path):
    """The same draws: a captured pass takes them from the generator's seed and offset at its replay."""
    precision = "bf16" if device.type == "cuda" else "fp32"
    step = Step(case, device, tmp_path / "tokens", dropout=0.1)
    loss, gradients, steps = step.ours(precision)
    plainly, plain, others = step.ours(precision, captured=False)
    assert steps.recorded and not others.recorded
    assert loss == pytest.approx(plainly, rel=EXACT)
    # atomics of some backward kernels add in any order
    assert distance(gradients, plain) < (1e-3 if device.type == "cuda" else 1e-7)


@EVERY_CASE
def test_the_devices_own_form_is_the_padded_one(case, device, tmp_path):
    """Packed by kernels where the objective allows it, maps on the chip: without dropout, the same numbers."""
    precision = "bf16" if device.type == "cuda" else "fp32"
    step = Step(case, device, tmp_path / "tokens")
    loss, gradients, _ = step.ours(precision)
    padded, others, _ = step.ours(precision, padded=True)
    if device.type == "cuda":
        assert loss == pytest.approx(padded, rel=HALF / 2)
        assert distance(gradients, others) < half_limit(step, precision, step.plain()[1])
    else:
        assert loss == pytest.approx(padded, rel=EXACT / 2)
        assert distance(gradients, others) < EXACT
