"""Steps as a GPU takes them, all kernels in Triton's interpreter, against the reference code's formulation."""

from __future__ import annotations

import pytest
import torch
from accelerate.state import AcceleratorState
from helpers.gpu_steps import CASES, Step, distance
from helpers.map_terms import INTERPRETED

pytestmark = INTERPRETED


@pytest.fixture(autouse=True)
def one_precision():
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_are_the_plain_formulations(case, tmp_path):
    """Packed, of fixed shape, between buffers: MobileBERT's neighbours, maps, fill and last layers together."""
    step = Step(case, torch.device("cpu"), tmp_path / "tokens")
    loss, gradients, steps = step.ours("fp32", interpreted=True)
    expected, plain = step.plain()
    assert loss == pytest.approx(expected, rel=1e-5)
    assert distance(gradients, plain) < 1e-5
    assert steps.recorded and not steps.why_plain
