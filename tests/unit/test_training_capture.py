"""Passes called between fixed buffers, as a CPU stands in for captured ones: the same bits as plain passes."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from helpers.training import Regression

from compactbio.training import capture
from compactbio.training.capture import MicroSteps
from compactbio.training.gradients import Gradients
from compactbio.training.interface import MicroBatch
from compactbio.training.loop import seed_step
from compactbio.training.processes import start_accelerator

STEPS = 3


@pytest.fixture
def accelerator() -> Accelerator:
    torch.set_num_threads(1)
    return start_accelerator()


def micro_batches(step: int, cuts: tuple[int, ...], *, fixed: bool) -> list[MicroBatch]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(12, 4, generator=generator)
    parts = zip(x.split(cuts), x.sum(1).split(cuts), strict=True)
    return [MicroBatch({"x": x, "y": y, "name": "a"}, {"rows": float(len(x))}, fixed=fixed) for x, y in parts]


def train(accelerator: Accelerator, cuts: tuple[int, ...], *, fixed: bool):
    """Losses, terms and weights of some steps with dropout and an unused parameter; the module and its passes."""
    module = Regression(dropout=0.3)
    module.unused = torch.nn.Parameter(torch.ones(3))
    parameters = list(module.parameters())
    gradients = Gradients(parameters)
    steps = MicroSteps(module, gradients, accelerator)
    optimizer = torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.1)
    losses = []
    for step in range(1, STEPS + 1):
        seed_step(7, step, 0)
        steps.begin({"rows": 12.0})
        for batch in micro_batches(step, cuts, fixed=fixed):
            loss, terms = steps(batch)
            losses.append((loss.item(), terms["squares"].item()))
        losses.append(gradients.clip(1.0).item())
        optimizer.step()
        gradients.clear()
    return losses, [value.detach().clone() for value in parameters], module, steps


@pytest.mark.parametrize("cuts", [(12,), (6, 6), (8, 4), (4, 4, 2, 2)], ids=str)
def test_the_numbers_are_those_of_plain_passes_to_the_bit(accelerator, cuts):
    """Draws of dropout, gradients of micro-batches before a recording, and what got no gradient included."""
    losses, weights, module, steps = train(accelerator, cuts, fixed=True)
    expected, plain_weights, plain, _ = train(accelerator, cuts, fixed=False)
    assert losses == expected
    assert all(map(torch.equal, weights, plain_weights))
    assert torch.equal(module.unused, torch.ones(3))  # with a gradient of 0 it would have decayed
    assert module.unused.grad is None
    assert len(steps.recorded) == len(set(cuts))
    assert module.calls == plain.calls + capture.WARM_UPS * len(set(cuts))


def test_a_pass_that_cannot_be_captured_runs_plainly_and_the_log_says_why(accelerator, monkeypatch, caplog):
    def refuse(self, run):
        run()
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(capture.Recorder, "record", refuse)
    losses, weights, _, steps = train(accelerator, (8, 4), fixed=True)
    expected, plain_weights, _, _ = train(accelerator, (8, 4), fixed=False)
    assert losses[2:] == expected[2:]
    assert all(map(torch.equal, weights, plain_weights))
    assert steps.why_plain == "operation not permitted when stream is capturing"
    assert caplog.text.count("not captured, which is slower: operation not permitted") == 1


def test_too_little_memory_is_no_reason_to_go_on(accelerator, monkeypatch):
    def run_out(self, run):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(capture.Recorder, "record", run_out)
    with pytest.raises(torch.OutOfMemoryError):
        train(accelerator, (12,), fixed=True)


def test_values_of_one_pass_survive_the_next(accelerator):
    module = Regression()
    steps = MicroSteps(module, Gradients(list(module.parameters())), accelerator)
    steps.begin({"rows": 12.0})
    first, second = micro_batches(1, (6, 6), fixed=True)
    loss, terms = steps(first)
    before = loss.item(), terms["squares"].item()
    steps(second)
    assert (loss.item(), terms["squares"].item()) == before


def test_denominators_of_each_step_are_its_own(accelerator):
    module = Regression()
    steps = MicroSteps(module, Gradients(list(module.parameters())), accelerator)
    [batch] = micro_batches(1, (12,), fixed=True)
    found = []
    for rows in (12.0, 24.0):
        steps.begin({"rows": rows})
        found.append(steps(batch)[0].item())
    assert found[1] == found[0] / 2


def test_gradients_stay_where_they_are_and_are_clipped_together():
    torch.manual_seed(0)
    modules = [torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)]
    modules[1].load_state_dict(modules[0].state_dict())
    for module in modules:
        module(torch.ones(2, 5)).square().sum().backward()
    flat, plain = (Gradients(list(module.parameters())) for module in modules)
    flat.flatten()
    places = [value.grad.data_ptr() for value in modules[0].parameters()]
    assert flat.clip(0.5) == plain.clip(0.5)
    for one, other in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
    flat.clear()
    assert [value.grad.data_ptr() for value in modules[0].parameters()] == places
    assert flat.buffer.abs().sum() == 0
