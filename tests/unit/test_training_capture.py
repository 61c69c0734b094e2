"""Passes called between fixed buffers, as a CPU stands in for captured ones: the same bits as plain passes."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from helpers.memory_errors import MEMORY_ERRORS
from helpers.training import Regression

from compactbio.errors import UserError
from compactbio.training import capture
from compactbio.training.capture import MicroSteps
from compactbio.training.error_causes import lacks_memory
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


@pytest.mark.parametrize("cuts", [(12,), (8, 4)], ids=str)
def test_gradients_that_are_added_at_once_have_the_same_bits(accelerator, monkeypatch, cuts):
    """As on a GPU, from the first recorded pass on."""
    expected, plain_weights, _, _ = train(accelerator, cuts, fixed=False)
    calls = []

    def add_of(self, loss):
        calls.append(self.buffer is not None)
        if self.buffer is None:
            loss.backward()
        else:
            self.add_at_once(loss)

    monkeypatch.setattr(Gradients, "add_of", add_of)
    losses, weights, module, _ = train(accelerator, cuts, fixed=True)
    assert any(calls)
    assert losses == expected
    assert all(map(torch.equal, weights, plain_weights))
    assert module.unused.grad is None


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


@MEMORY_ERRORS
@pytest.mark.parametrize("ends", [True, False])
def test_too_little_memory_is_no_reason_to_go_on(accelerator, monkeypatch, error, ends):
    """Also where the end of the capture, which then fails too, says nothing of it."""

    def run_out(self, run):
        try:
            raise error
        finally:
            if ends:
                raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(capture.Recorder, "record", run_out)
    with pytest.raises(RuntimeError) as raised:
        train(accelerator, (12,), fixed=True)
    assert lacks_memory(raised.value)


def test_values_of_one_pass_survive_the_next(accelerator):
    module = Regression()
    steps = MicroSteps(module, Gradients(list(module.parameters())), accelerator)
    steps.begin({"rows": 12.0})
    first, second = micro_batches(1, (6, 6), fixed=True)
    loss, terms = steps(first)
    before = loss.item(), terms["squares"].item()
    steps(second)
    assert (loss.item(), terms["squares"].item()) == before


def test_passes_recorded_beforehand_leave_no_trace(accelerator):
    """Other counts, other values: the steps that follow are those of a training without them."""
    module = Regression(dropout=0.3)
    gradients = Gradients(list(module.parameters()))
    steps = MicroSteps(module, gradients, accelerator)
    examples = micro_batches(99, (8, 4), fixed=True)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    steps.record(examples)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(steps.recorded) == 2
    assert gradients.buffer is not None and not gradients.buffer.any()
    calls = module.calls
    found = []
    for own in (steps, MicroSteps(module, Gradients(list(module.parameters())), accelerator)):
        seed_step(7, 1, 0)
        own.begin({"rows": 12.0, "flops": 3.0})  # a count that examples lack
        found.append([own(batch)[0].item() for batch in micro_batches(1, (8, 4), fixed=own is steps)])
    assert found[0] == found[1]
    assert module.calls == calls + 4


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


def stand_in_for_a_gpu(monkeypatch, *, broken: bool = False) -> list[str]:
    """What torch.cuda gives a capture, without a GPU, and what is asked of it; `broken` captures fail at their end."""
    events: list[str] = []
    generator = SimpleNamespace(
        clone_state=lambda: "healthy", graphsafe_set_state=lambda state: events.append(f"generator {state}")
    )
    stream = SimpleNamespace(wait_stream=lambda other: events.append("wait"))

    @contextlib.contextmanager
    def graph(graph, *, pool, stream, capture_error_mode):
        assert (pool, capture_error_mode) == ((0, 1), "thread_local")
        events.append("capture")
        yield
        if broken:
            raise RuntimeError("capture invalidated")

    for name, value in {
        "Stream": lambda device: stream,
        "graph_pool_handle": lambda: (0, 1),
        "current_stream": lambda device: stream,
        "set_stream": lambda stream: events.append("set stream"),
        "stream": lambda stream: contextlib.nullcontext(),
        "current_device": lambda: 0,
        "default_generators": (generator,),
        "CUDAGraph": lambda: SimpleNamespace(replay=lambda: events.append("replay")),
        "graph": graph,
        "synchronize": lambda device: events.append("synchronize"),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return events


def test_a_graph_is_captured_after_warm_ups_on_its_stream_and_replayed(accelerator, monkeypatch):
    events = stand_in_for_a_gpu(monkeypatch)
    module = Regression()
    steps = MicroSteps(module, Gradients(list(module.parameters())), accelerator)
    steps.recorder = capture.CudaRecorder(torch.device("cpu"))
    steps.begin({"rows": 12.0})
    [batch] = micro_batches(1, (12,), fixed=True)
    values = [steps(batch)[0].item() for _ in range(2)]
    assert events == [*["wait", "wait"] * capture.WARM_UPS, "capture", "replay", "replay"]
    assert module.calls == capture.WARM_UPS + 1
    assert values[0] == values[1]  # the buffer that the capture left


def test_all_shapes_are_warmed_up_before_the_first_capture(accelerator, monkeypatch):
    """A capture keeps its memory: beside that of the largest, a warm-up would need as much again."""
    events = stand_in_for_a_gpu(monkeypatch)
    module = Regression()
    steps = MicroSteps(module, Gradients(list(module.parameters())), accelerator)
    steps.recorder = capture.CudaRecorder(torch.device("cpu"))
    steps.record(micro_batches(99, (8, 4), fixed=True))
    assert events == [*["wait", "wait"] * 2 * capture.WARM_UPS, "capture", "capture"]
    assert [len(one.inputs["x"]) for one in steps.recorded.values()] == [8, 4]


def test_the_last_warm_up_of_each_shape_adds_gradients_as_the_capture_does(accelerator, monkeypatch):
    """A kernel that is launched for the first time has to be loaded, which a capture may refuse."""
    passes = []
    plain = Gradients.add_of

    def add_of(self, loss):
        passes.append(self.buffer is not None)
        plain(self, loss)

    monkeypatch.setattr(Gradients, "add_of", add_of)
    stand_in_for_a_gpu(monkeypatch)
    module = Regression()
    steps = MicroSteps(module, Gradients(list(module.parameters())), accelerator)
    steps.recorder = capture.CudaRecorder(torch.device("cpu"))
    steps.record(micro_batches(99, (8, 4), fixed=True))
    assert passes == [False, False, True, True, True, True]  # two of each shape to warm up, one to capture


def test_gradients_may_all_have_been_added_in_the_pass(accelerator):
    module = Regression()
    gradients = Gradients(list(module.parameters()))
    for value in module.parameters():
        value.grad = torch.ones_like(value)
    gradients.flatten()
    gradients.add_at_once(torch.ones((), requires_grad=True) * 2.0)
    assert all(torch.equal(value.grad, torch.ones_like(value)) for value in module.parameters())


def test_a_capture_that_breaks_off_leaves_generator_and_stream_as_they_were(accelerator, monkeypatch, caplog):
    events = stand_in_for_a_gpu(monkeypatch, broken=True)
    module = Regression()
    steps = MicroSteps(module, Gradients(list(module.parameters())), accelerator)
    steps.recorder = capture.CudaRecorder(torch.device("cpu"))
    steps.begin({"rows": 12.0})
    [batch] = micro_batches(1, (12,), fixed=True)
    loss = steps(batch)[0].item()
    assert events[2 * capture.WARM_UPS :] == ["capture", "set stream", "generator healthy", "synchronize"]
    assert steps.why_plain == "capture invalidated"
    expected = (module.layers(batch.tensors["x"]).squeeze(-1) - batch.tensors["y"]).square().sum() / 12.0
    assert loss == pytest.approx(expected.item(), rel=1e-6)


def test_what_does_not_repeat_its_bits_says_which_key_to_change(accelerator, monkeypatch):
    def refuse(self, run):
        raise RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation")

    monkeypatch.setattr(capture.Recorder, "record", refuse)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    with pytest.raises(UserError, match=r"deterministic: true: cumsum_cuda_kernel does not have .* set it to false"):
        train(accelerator, (12,), fixed=True)


def test_a_gradient_in_another_order_of_memory_is_added_apart(monkeypatch):
    """A tied decoder's comes transposed; in the list it would have torch add all of a model's one by one."""
    weight, bias = torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(3))
    gradients = Gradients([weight, bias])
    rows = torch.randn(4, 5)

    def loss():
        return ((rows @ weight + bias) ** 2).sum() + (weight.t() @ rows.t()).sin().sum()

    torch.autograd.backward(loss())
    gradients.flatten()
    before = [one.grad.clone() for one in (weight, bias)]
    listed = []
    real = torch._foreach_add_
    monkeypatch.setattr(torch, "_foreach_add_", lambda own, others: listed.extend(others) or real(own, others))
    found = torch.autograd.grad(loss(), [weight, bias])
    monkeypatch.setattr(torch.autograd, "grad", lambda *_, **__: (found[0].t().contiguous().t(), found[1]))
    gradients.add_at_once(loss())
    assert [one.shape for one in listed] == [bias.shape]
    for one, was, added in zip((weight, bias), before, found, strict=True):
        torch.testing.assert_close(one.grad, was + added, rtol=0, atol=0)
