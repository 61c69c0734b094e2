"""Which attention takes packed sequences: what a device has, and the trials that it has to pass."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers import pretraining as tiny
from helpers.objectives import distillation

from compactbio.pretraining import attention_choice, packed_attention
from compactbio.pretraining.attention_choice import packed_layout
from compactbio.pretraining.layout import takes_map_kernels

OPTIONS = {"precision": "bf16", "attention_dropout": 0.1, "reads_attention": False, "over_padding": False}


@pytest.fixture
def tried(monkeypatch):
    """Which kernels a GPU that is not there tries: `refused` give an error."""
    names: list[str] = []
    refused: set[str] = set()

    def trial(name, device, dtype, dropout, size, **options):
        names.append(name)
        if name in refused:
            raise RuntimeError(f"no {name} here")
        return 0.0

    monkeypatch.setattr(attention_choice, "try_kernel", trial)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    return names, refused


@pytest.mark.parametrize(
    ("device", "changes", "expected"),
    [
        ("cpu", {}, "loop"),
        ("cpu", {"precision": "fp32", "reads_attention": True}, "loop"),
        ("cpu", {"over_padding": True}, None),
        ("cuda", {}, "flash"),
        ("cuda", {"precision": "fp16", "attention_dropout": 0.0}, "flash"),
        ("cuda", {"precision": "fp32"}, "efficient"),
        ("cuda", {"precision": "tf32"}, "efficient"),
        ("cuda", {"reads_attention": True}, None),
        ("cuda", {"takes_fill": False}, None),
        ("cuda", {"over_padding": True}, None),
        ("cpu", {"windowed": True}, "loop"),
        ("cuda", {"windowed": True}, "flash"),
        ("cuda", {"windowed": True, "precision": "tf32"}, "unpacked"),
    ],
)
def test_sequences_are_packed_where_that_changes_no_number(tried, device, changes, expected):
    assert packed_layout(torch.device(device), **(OPTIONS | changes)) == expected


def test_layers_with_a_window_take_a_kernel_that_knows_windows_and_the_log_says_so(tried, caplog):
    caplog.set_level("INFO")
    objective = [{"term": "attention_kl", "weight": 1.0, "layers": [[1, 1]]}]
    module = distillation(tiny.modernbert("aw"), tiny.modernbert("aa"), objective, tiny.SOUND)
    assert module.windowed and not distillation(tiny.modernbert("aa"), None, tiny.MLM, tiny.SOUND).windowed
    assert packed_layout(torch.device("cuda"), **OPTIONS | {"precision": "fp32"}, windowed=True) == "unpacked"
    assert "packed sequences: unpacked, layers see a window only" in caplog.text
    assert tried[0] == ["unpacked"]
    assert not takes_map_kernels(module, torch.device("cuda"), "bf16", 256)
    assert "attention maps: written, for layers see a window only" in caplog.text


def test_a_kernel_that_does_not_know_windows_is_refused(monkeypatch):
    whole = packed_attention.KERNELS["unpacked"]
    monkeypatch.setitem(packed_attention.KERNELS, "flash", lambda *given, reach=None: whole(*given))
    options = (torch.device("cpu"), "fp32", 0.0, [16])
    assert attention_choice.first_usable(["flash"], *options)[0] == "flash"
    found, reasons = attention_choice.first_usable(["flash", "unpacked"], *options, windowed=True)
    assert found == "unpacked" and "differs from plain attention by" in reasons["flash"]


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling it",
        "CUDA-capable device.s. is/are busy or unavailable",
    ],
)
def test_a_gpu_without_room_for_a_trial_refuses_no_kernel(monkeypatch, text):
    def run_out(*_):
        raise RuntimeError(text)

    monkeypatch.setitem(packed_attention.KERNELS, "flash", run_out)
    with pytest.raises(RuntimeError, match=text):
        attention_choice.first_usable(["flash", "unpacked"], torch.device("cpu"), "fp32", 0.0, [16])


def test_older_gpus_take_the_kernel_that_they_have(tried, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    assert packed_layout(torch.device("cuda"), **(OPTIONS | {"precision": "fp16"})) == "efficient"
    assert tried[0] == ["efficient"]


def test_a_kernel_that_fails_gives_way_to_the_next_and_the_log_says_why(tried, caplog):
    names, refused = tried
    caplog.set_level("INFO")
    refused |= {"flash", "efficient"}
    assert packed_layout(torch.device("cuda"), **OPTIONS) == "unpacked"
    assert names == ["flash", "efficient", "unpacked"]
    refused.add("unpacked")
    assert packed_layout(torch.device("cuda"), **OPTIONS) is None
    assert "packed sequences: unpacked; not flash: no flash here; not efficient: no efficient here" in caplog.text
    assert "micro-batches are padded; not flash" in caplog.text


def test_a_kernel_that_mixes_sequences_is_refused(monkeypatch):
    def mixing(query, key, value, *_):
        states = (one.transpose(0, 1)[None] for one in (query, key, value))
        return F.scaled_dot_product_attention(*states)[0].transpose(0, 1)

    monkeypatch.setitem(packed_attention.KERNELS, "flash", mixing)
    found, reasons = attention_choice.first_usable(["flash", "unpacked"], torch.device("cpu"), "fp32", 0.0, [16])
    assert found == "unpacked"
    assert "differs from plain attention by" in reasons["flash"]


class Broken(torch.autograd.Function):
    """Attention of one sequence whose backward pass has drawn other probabilities than its forward pass."""

    @staticmethod
    def forward(ctx, *given):
        ctx.given = given
        return packed_attention.KERNELS["unpacked"](*given)

    @staticmethod
    def backward(ctx, gradient):
        states, others = ctx.given[:3], ctx.given[3:]
        leaves = [one.detach().requires_grad_() for one in states]
        with torch.enable_grad():
            output = packed_attention.KERNELS["unpacked"](*leaves, *others)
        return *torch.autograd.grad(output, leaves, gradient), *[None] * len(others)


def as_torch_draws(query, key, value, rows, ends, longest, dropout, scaling):
    """Every head and every call has one draw, as torch's memory-efficient attention of packed sequences."""
    whole = packed_attention.KERNELS["unpacked"]
    heads = []
    for head in range(query.shape[1]):
        torch.manual_seed(7)
        states = [one[:, head : head + 1] for one in (query, key, value)]
        heads.append(whole(*states, rows, ends, longest, dropout, scaling))
    return torch.cat(heads, 1)


def less_dropout(*given):
    *others, dropout, scaling = given
    return packed_attention.KERNELS["unpacked"](*others, 0.5 * dropout, scaling)


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        (Broken.apply, "differs from plain attention by"),
        (as_torch_draws, "share one draw of dropout"),
        (less_dropout, "of the probabilities where 0.25 is asked for"),
    ],
    ids=["backward draws anew", "one draw", "another share"],
)
def test_a_kernel_with_a_dropout_of_its_own_is_refused(monkeypatch, kernel, reason):
    monkeypatch.setitem(packed_attention.KERNELS, "efficient", kernel)
    options = (["efficient", "unpacked"], torch.device("cpu"), "fp32")
    assert attention_choice.first_usable(*options, 0.0, [16])[0] == "efficient"
    state = torch.get_rng_state()
    found, reasons = attention_choice.first_usable(*options, 0.1, [16])
    assert found == "unpacked" and reason in reasons["efficient"]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("windowed", [False, True])
@pytest.mark.parametrize("size", [26, 64])
def test_what_runs_everywhere_is_plain_attention_with_and_without_dropout(dtype, windowed, size):
    limit = {torch.float32: 5e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]
    assert attention_choice.try_kernel("unpacked", torch.device("cpu"), dtype, 0.1, size, windowed=windowed) < limit
