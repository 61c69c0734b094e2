"""Cuts and bounds of micro-batches: everything once, nothing too large, and the cheapest cut is the cheapest."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compactbio.pretraining.sampling import share_of_process
from compactbio.training.cuts import cheapest_cuts, fewest_cuts, padded_cuts, padded_length

ASCENDING = st.lists(st.integers(1, 30), min_size=1, max_size=9).map(sorted)
DESCENDING = st.lists(st.integers(1, 64), min_size=1, max_size=40).map(lambda values: np.array(sorted(values)[::-1]))


def cost_of(ranges: list[tuple[int, int]], lengths: list[int], start_cost: int) -> int:
    return sum(start_cost + (end - begin) * lengths[end - 1] for begin, end in ranges)


def all_cuts(count: int) -> list[list[tuple[int, int]]]:
    """Return every way to cut a row of `count` into contiguous ranges."""
    ways = []
    for number in range(count):
        for cuts in combinations(range(1, count), number):
            bounds = [0, *cuts, count]
            ways.append(list(pairwise(bounds)))
    return ways


@given(ASCENDING, st.integers(0, 60))
def test_no_other_cut_is_cheaper_than_the_cheapest(lengths, start_cost):
    chosen = cheapest_cuts(lengths, start_cost)
    ways = all_cuts(len(lengths))
    assert chosen in ways
    assert cost_of(chosen, lengths, start_cost) == min(cost_of(way, lengths, start_cost) for way in ways)


@given(ASCENDING, st.integers(1, 80))
def test_no_other_cut_within_the_limit_has_fewer_ranges(lengths, most):
    def fits(way: list[tuple[int, int]]) -> bool:
        return all(end - begin == 1 or sum(lengths[begin:end]) <= most for begin, end in way)

    chosen = fewest_cuts(lengths, most)
    ways = [way for way in all_cuts(len(lengths)) if fits(way)]
    assert chosen in ways and len(chosen) == min(map(len, ways))


@given(DESCENDING, st.integers(64, 512))
def test_packed_micro_batches_hold_every_sequence_once_and_end_where_the_next_would_not_fit(lengths, tokens):
    bounds = fewest_cuts(lengths.tolist(), tokens)
    assert [number for begin, end in bounds for number in range(begin, end)] == list(range(len(lengths)))
    for begin, end in bounds:
        assert lengths[begin:end].sum() <= tokens
        assert end == len(lengths) or lengths[begin : end + 1].sum() > tokens


@given(DESCENDING, st.integers(1, 512), st.booleans(), st.integers(0, 2), st.none() | st.integers(1, 512))
def test_padded_micro_batches_hold_every_sequence_once_within_their_positions(
    lengths, tokens, to_max_length, border, enough
):
    padding = {"max_length": 64, "to_max_length": to_max_length, "border": border}
    bounds = padded_cuts(lengths, tokens=tokens, enough_tokens=enough, **padding)
    assert [number for begin, end in bounds for number in range(begin, end)] == list(range(len(lengths)))
    for begin, end in bounds:
        length = padded_length(int(lengths[begin]), **padding)
        assert length >= lengths[begin:end].max()
        assert end - begin == 1 or (end - begin) * length <= tokens


@given(DESCENDING, st.integers(1, 8))
def test_processes_share_a_batch_without_overlap_and_with_nearly_equal_work(lengths, processes):
    shares = [share_of_process(lengths, rank, processes) for rank in range(processes)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(len(lengths)))
    sums = [int(lengths[share].sum()) for share in shares]
    assert max(sums) - min(sums) <= lengths.max()
