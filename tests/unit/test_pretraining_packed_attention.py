"""Packed sequences: their attention, the cuts of micro-batches, dropout apart from others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import pretraining as tiny

from compactbio.pretraining.attention import attention_dropout, install_attention, set_attention_dropout
from compactbio.pretraining.packed_attention import filled_attention, padded_attention, variable_length_attention
from compactbio.training.cuts import fewest_cuts

LENGTHS = (5, 9, 3)


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
