"""Attention over packed sequences in groups: each sequence's own attention, and dropout's gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compactbio.finetuning.packed import grouped_attention, groups
from compactbio.finetuning.packed.groups import pack

torch.set_num_threads(1)

HEADS, SIZE, SCALING = 3, 8, 0.2
LENGTHS = {"one group": [4, 6, 7, 7], "without padding": [5, 5, 5], "three groups": [2, 2, 9, 10, 30], "one": [12]}


def inputs(lengths, seed=1, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(1, sum(lengths), HEADS, SIZE, generator=draw, dtype=torch.float64) for _ in range(4)]
    query, key, value, weights = (tensor.to(dtype) for tensor in tensors)
    return [tensor.transpose(1, 2).detach().requires_grad_() for tensor in (query, key, value)], weights


def attend(tensors, lengths, dropout=0.0):
    packed = pack(lengths, HEADS)
    return grouped_attention.grouped_attention(
        nn.Identity(), *tensors, None, dropout=dropout, scaling=SCALING, packing=packed
    )[0]


def attend_alone(tensors, lengths, factors=None):
    """Oracle: the formula in float64, sequence by sequence; factors multiply each sequence's maps."""
    outputs, begin = [], 0
    for number, length in enumerate(lengths):
        query, key, value = (tensor[0, :, begin : begin + length].double() for tensor in tensors)
        maps = torch.softmax(SCALING * query @ key.transpose(1, 2), dim=-1)
        outputs.append((maps if factors is None else maps * factors[number]) @ value)
        begin += length
    return torch.cat(outputs, dim=1).transpose(0, 1)[None]


def maps_of_sequences(flat, packed):
    """The part of all groups' maps, one axis, that each sequence's real tokens have: (heads, length, length)."""
    parts, number = [], 0
    for group, maps in zip(packed.groups, flat.split(packed.map_sizes), strict=True):
        for sequence in maps.view(group.count, HEADS, group.longest, group.longest):
            length = packed.lengths[number]
            parts.append(sequence[:, :length, :length].double())
            number += 1
    return parts


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    monkeypatch.setattr(groups, "START_COST", 6)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
def test_output_and_gradients_are_those_of_every_sequence_alone(lengths, dropout, monkeypatch):
    drawn = []

    def kept_in_view(shape, probability, draw=grouped_attention.draw_factors):
        drawn.append(draw(shape, probability))
        return drawn[-1]

    monkeypatch.setattr(grouped_attention, "draw_factors", kept_in_view)
    tensors, weights = inputs(lengths)
    output = attend(tensors, lengths, dropout)
    (output * weights).sum().backward()
    assert len(drawn) == (dropout > 0)
    factors = maps_of_sequences(drawn[0], pack(lengths, HEADS)) if dropout else None
    if dropout:
        shares = torch.cat([part.flatten() for part in factors])
        assert shares.unique().tolist() == pytest.approx([0.0, 1 / 0.7], rel=1e-4)

    others, _ = inputs(lengths)
    expected = attend_alone(others, lengths, factors)
    (expected * weights).sum().backward()
    torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=1e-6)
    for mine, other in zip(tensors, others, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_the_tests_see_two_sequences_mixed():
    lengths = LENGTHS["three groups"]
    tensors, _ = inputs(lengths)
    mixed = attend(tensors, [4, *lengths[2:]])  # the first two taken for one
    assert not torch.allclose(mixed.double(), attend_alone(tensors, lengths), atol=1e-3)


def test_with_all_dropped_the_output_is_zero():
    tensors, _ = inputs(LENGTHS["one group"])
    assert torch.all(attend(tensors, LENGTHS["one group"], dropout=1.0) == 0)


def test_groups_are_as_many_as_the_cost_of_starting_one_allows(monkeypatch):
    lengths = [2, 2, 9, 10, 30]
    for cost, counts in [(0, [2, 1, 1, 1]), (6, [2, 2, 1]), (1000, [5])]:
        monkeypatch.setattr(groups, "START_COST", cost)
        assert [group.count for group in pack(lengths, HEADS).groups] == counts
    assert pack([5, 5], HEADS).real is None
    packed = pack([2, 5], HEADS)
    assert packed.real.sum() == 7 * HEADS and packed.first_tokens.tolist() == [0, 2]


def test_under_autocast_it_calculates_in_single_precision():
    lengths = LENGTHS["three groups"]
    tensors, _ = inputs(lengths, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        output = attend(tensors, lengths)
    assert output.dtype is torch.float32
    output.sum().backward()
    assert all(tensor.grad.dtype is torch.bfloat16 for tensor in tensors)
    torch.testing.assert_close(output.double(), attend_alone(tensors, lengths), rtol=1e-5, atol=1e-6)
