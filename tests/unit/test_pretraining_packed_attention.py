"""Packed micro-batches: when they are used, the kernel's shapes, MobileBERT's borders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import pretraining as tiny
from torch.nn.attention import varlen

from compactbio.pretraining import packed_attention
from compactbio.pretraining.attention import attention_dropout, install_attention, set_attention_dropout
from compactbio.pretraining.packed_attention import packed_layout, variable_length_attention
from compactbio.training.cuts import fewest_cuts

LENGTHS = (5, 9, 3)


@pytest.mark.parametrize(
    ("device", "changes", "expected"),
    [
        ("cpu", {}, "loop"),
        ("cpu", {"precision": "fp32", "reads_attention": True, "attention_dropout": 0.1}, "loop"),
        ("cpu", {"over_padding": True}, None),
        ("cuda", {}, "kernel"),
        ("cuda", {"precision": "fp16"}, "kernel"),
        ("cuda", {"precision": "fp32"}, None),
        ("cuda", {"attention_dropout": 0.1}, None),  # the kernel has none: padded rather than without a word
        ("cuda", {"reads_attention": True}, None),
        ("cuda", {"over_padding": True}, None),
    ],
)
def test_sequences_are_packed_where_that_changes_no_number(monkeypatch, device, changes, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    options = {"precision": "bf16", "attention_dropout": 0.0, "reads_attention": False, "over_padding": False} | changes
    assert packed_layout(torch.device(device), **options) == expected


def test_older_gpus_have_no_kernel(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    options = {"precision": "fp16", "attention_dropout": 0.0, "reads_attention": False, "over_padding": False}
    assert packed_layout(torch.device("cuda"), **options) is None


def plain_kernel(query, key, value, begins, _, longest, __, *, scale):
    """What the kernel promises, on a processor: (tokens, heads, size), sizes in eights."""
    assert query.shape[-1] % 8 == 0
    assert longest == max(LENGTHS)
    parts = []
    for start, end in zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True):
        one = [tensor[start:end].transpose(0, 1)[None] for tensor in (query, key, value)]
        parts.append(F.scaled_dot_product_attention(*one, scale=scale)[0].transpose(0, 1))
    return torch.cat(parts)


def packed_inputs(size: int):
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, sum(LENGTHS), size, generator=generator)
    return query, key, value, torch.tensor([0, *np.cumsum(LENGTHS)], dtype=torch.int32)


@pytest.mark.parametrize("size", [8, 26])
def test_the_kernel_sees_padded_heads_and_gives_plain_attention(monkeypatch, size):
    monkeypatch.setattr(varlen, "varlen_attn", plain_kernel)
    monkeypatch.setattr(packed_attention, "_agreed", set())
    query, key, value, boundaries = packed_inputs(size)
    got = variable_length_attention(query, key, value, LENGTHS, boundaries, scaling=size**-0.5)
    assert got.shape == (1, sum(LENGTHS), 2, size)
    start = 0
    for length in LENGTHS:
        own = [tensor[:, :, start : start + length] for tensor in (query, key, value)]
        expected = F.scaled_dot_product_attention(*own).transpose(1, 2)
        torch.testing.assert_close(got[:, start : start + length], expected)
        start += length


def test_a_kernel_that_mixes_sequences_is_refused_at_its_first_use(monkeypatch):
    def mixing(query, key, value, *_, scale):
        one = [tensor.transpose(0, 1)[None] for tensor in (query, key, value)]
        return F.scaled_dot_product_attention(*one, scale=scale)[0].transpose(0, 1)

    monkeypatch.setattr(varlen, "varlen_attn", mixing)
    monkeypatch.setattr(packed_attention, "_agreed", set())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "some GPU")
    with pytest.raises(RuntimeError, match=r"differs from plain attention by .* on some GPU"):
        variable_length_attention(*packed_inputs(8)[:3], LENGTHS, packed_inputs(8)[3], scaling=8**-0.5)


def test_micro_batches_are_filled_with_whole_sequences():
    lengths = [24, 20, 20, 10, 9, 5]
    assert fewest_cuts(lengths, 48) == [(0, 2), (2, 6)]
    assert fewest_cuts(lengths, 24) == [(0, 1), (1, 2), (2, 3), (3, 6)]
    assert fewest_cuts(lengths, 1000) == [(0, 6)]


@pytest.mark.parametrize("build", [tiny.bert, tiny.distilbert, tiny.mobilebert], ids=lambda build: build.__name__)
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
