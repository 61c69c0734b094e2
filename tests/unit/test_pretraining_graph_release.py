"""A pass leaves nothing of its autograd graph to the next one.

What survives keeps the stream of its first pass: a capture on another stream would then break off (PyTorch 180090).
"""

from __future__ import annotations

import gc

import pytest
import torch
from accelerate.state import AcceleratorState
from helpers.gpu_steps import CASES, Step

from compactbio.training.capture import MicroSteps
from compactbio.training.gradients import Gradients
from compactbio.training.processes import start_accelerator


def node(parameter):
    """What adds up a parameter's gradients: made anew unless a graph still holds it."""
    return parameter.view_as(parameter).grad_fn.next_functions[0][0]


@pytest.fixture
def nothing_is_collected():
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)
    gc.disable()
    yield
    gc.enable()
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("case", CASES)
def test_no_graph_outlives_the_beginning_of_the_next_pass(case, tmp_path, nothing_is_collected):
    step = Step(case, torch.device("cpu"), tmp_path / "tokens")
    module, accelerator = step.module().train(), start_accelerator("bf16")
    [batch, *_] = step._batches(module, accelerator, padded=False)(1)
    batch.fixed = False
    parameters = [value for value in module.parameters() if value.requires_grad]
    steps = MicroSteps(module, Gradients(parameters), accelerator)
    steps.begin(dict.fromkeys(batch.counts, 1.0))
    steps(batch)
    for one in parameters:
        node(one).metadata["old"] = True
    held = []

    def forward(*_, **__):
        held.extend("old" in node(one).metadata for one in parameters)

    module.student.base_model.register_forward_pre_hook(forward, with_kwargs=True)
    steps(batch)
    assert len(held) == len(parameters)
    assert not any(held)
