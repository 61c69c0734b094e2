"""Packed micro-batches: when they are used, the kernel's shapes, MobileBERT's borders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import pretraining as tiny
from helpers.objectives import distillation

from compactbio.pretraining import attention_choice, packed_attention
from compactbio.pretraining.attention import attention_dropout, install_attention, set_attention_dropout
from compactbio.pretraining.attention_choice import packed_layout
from compactbio.pretraining.layout import takes_map_kernels
from compactbio.pretraining.packed_attention import filled_attention, padded_attention, variable_length_attention
from compactbio.training.cuts import fewest_cuts

LENGTHS = (5, 9, 3)


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


@pytest.mark.parametrize("window", [3, 50])
def test_each_query_sees_the_keys_of_its_window_in_its_own_sequence(window):
    lengths, size = (5, 0, 9, 3), 8
    states = torch.randn(3, 1, 2, sum(lengths), size, generator=torch.Generator().manual_seed(0))
    ends = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32)
    got = variable_length_attention("unpacked", *states, ends, ends, 9, 0.0, size**-0.5, window)
    expected = []
    for query, key, value in zip(*(one.split(lengths, 2) for one in states), strict=True):
        places = np.arange(query.shape[2])
        seen = torch.from_numpy(np.abs(places[:, None] - places) < window)
        if len(places):
            expected.append(F.scaled_dot_product_attention(query, key, value, attn_mask=seen).transpose(1, 2))
    torch.testing.assert_close(got, torch.cat(expected, 1))


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


@pytest.mark.parametrize("size", [8, 26])
def test_plain_attention_of_packed_sequences_is_each_ones_own(size):
    """Queries of all tokens and of some, empty slots in between; heads of a size that kernels do not take."""
    lengths, rows = (5, 0, 9, 3, 0), (2, 0, 1, 3, 0)
    generator = torch.Generator().manual_seed(0)
    key, value = torch.randn(2, 1, 2, sum(lengths), size, generator=generator)
    for asking in (rows, lengths):
        query = torch.randn(1, 2, sum(asking), size, generator=generator)
        ends = [torch.tensor([0, *np.cumsum(sizes)], dtype=torch.int32) for sizes in (asking, lengths)]
        got = variable_length_attention("unpacked", query, key, value, *ends, 9, 0.0, size**-0.5)
        assert got.shape == (1, sum(asking), 2, size)
        parts = zip(query.split(asking, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
        expected = [F.scaled_dot_product_attention(*one).transpose(1, 2) for one in parts if one[0].shape[2]]
        torch.testing.assert_close(got, torch.cat(expected, 1))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [26, 24])
def test_heads_that_are_filled_up_give_the_attention_of_their_true_size(monkeypatch, size, masked):
    """Against the formula in double precision; on a CPU nothing is filled."""
    generator = torch.Generator().manual_seed(2)
    states = [torch.randn(2, 3, 7, size, generator=generator).requires_grad_() for _ in range(3)]
    gradient = torch.randn(2, 3, 7, size, generator=generator)
    mask = (torch.arange(7) < torch.tensor([[7], [4]]))[:, None, None] if masked else None
    attend, sizes = F.scaled_dot_product_attention, []

    def watched(query, *others, **options):
        sizes.append(query.shape[-1])
        return attend(query, *others, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    made = filled_attention(*states, attn_mask=mask, dropout_p=0.0, scale=0.3)
    plain = padded_attention(*states, mask, 0.0, 0.3)
    assert sizes == [{26: 32}.get(size, size), size]
    assert torch.equal(plain, attend(*states, attn_mask=mask, scale=0.3))
    exact = [one.detach().double().requires_grad_() for one in states]
    scores = 0.3 * exact[0] @ exact[1].transpose(2, 3)
    expected = torch.softmax(scores if mask is None else scores.masked_fill(~mask, -torch.inf), -1) @ exact[2]
    torch.testing.assert_close(made.double(), expected, rtol=1e-5, atol=1e-6)
    got = torch.autograd.grad(made, states, gradient)
    for one, other in zip(got, torch.autograd.grad(expected, exact, gradient.double()), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-6)


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


@pytest.mark.parametrize(
    ("kernel", "rows", "window"),
    [("flash", 12, None), ("flash", 12, 4), ("flash", 5, None), ("efficient", 12, None), ("efficient", 5, None)],
)
def test_the_kernels_of_this_torch_take_these_arguments_and_differentiate(kernel, rows, window):
    """Their shapes alone, without numbers, which takes no GPU; a size of heads that is filled up."""
    ends = torch.zeros(5, dtype=torch.int32, device="meta")
    query, key, value = states = [
        torch.zeros(1, 3, count, 26, dtype=torch.bfloat16, device="meta", requires_grad=True)
        for count in (rows, 12, 12)
    ]
    output = variable_length_attention(kernel, query, key, value, ends, ends, 9, 0.1, 0.2, window)
    assert output.shape == (1, rows, 3, 26)
    if kernel == "flash":
        gradients = torch.autograd.grad(output, states, torch.ones_like(output))
        assert [one.shape for one in gradients] == [one.shape for one in states]
    node = output.grad_fn  # torch 2.13 cannot run the other's backward without numbers: it lacks an argument there
    while node is not None and "AttentionBackward" not in node.name():
        node = node.next_functions[0][0]
    assert node is not None


def test_dropout_of_plain_attention_keeps_the_mean():
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(3, 1, 2, 40, 8, generator=generator)
    ends = torch.tensor([0, 15, 40], dtype=torch.int32)
    torch.manual_seed(0)
    drawn = [variable_length_attention("unpacked", *states, ends, ends, 25, 0.3, 0.35) for _ in range(400)]
    plain = variable_length_attention("unpacked", *states, ends, ends, 25, 0.0, 0.35)
    assert not torch.equal(drawn[0], drawn[1])
    assert (torch.stack(drawn).mean(0) - plain).abs().max() < 0.15


def test_micro_batches_are_filled_with_whole_sequences():
    lengths = [24, 20, 20, 10, 9, 5]
    assert fewest_cuts(lengths, 48) == [(0, 2), (2, 6)]
    assert fewest_cuts(lengths, 24) == [(0, 1), (1, 2), (2, 3), (3, 6)]
    assert fewest_cuts(lengths, 1000) == [(0, 6)]


@pytest.mark.parametrize("build", tiny.BUILDS.values(), ids=tiny.BUILDS)
def test_attention_dropout_can_be_set_apart_from_the_other_dropouts(build):
    model = build(dropout=0.1).train()
    assert attention_dropout(model) == 0.1
    set_attention_dropout(model, 0.0)
    assert attention_dropout(model) == 0.0
    others = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    assert others.count(0.1) > 0
    assert attention_dropout(build(dropout=0.1).eval()) == 0.0


def test_a_packed_sequence_does_not_see_the_others():
    """The control that must fail without boundaries: the same row read as one sequence."""
    model = tiny.bert().eval()
    install_attention(model, {}, after_dropout=False)
    ids = torch.tensor([tiny.sequences(1, seed=1, longest=sum(LENGTHS))[0]])
    positions = torch.tensor([[place for length in LENGTHS for place in range(length)]])
    with torch.no_grad():
        packed = model.base_model(input_ids=ids, position_ids=positions, lengths=LENGTHS).last_hidden_state
        alone = model.base_model(input_ids=ids[:, 5:14]).last_hidden_state
        mixed = model.base_model(input_ids=ids, position_ids=positions).last_hidden_state
    torch.testing.assert_close(packed[:, 5:14], alone, atol=1e-5, rtol=1e-5)
    assert (mixed[:, 5:14] - alone).abs().max() > 1e-2
