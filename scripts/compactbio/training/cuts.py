"""Sequences in an order, cut into contiguous parts: the micro-batches of pre-training and fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SIMILAR = 0.85  # sequences this near the longest of a micro-batch waste at most 15 % of their positions


def cheapest_cuts(lengths: Sequence[int], start_cost: int) -> list[tuple[int, int]]:
    """Return ranges [begin, end) over lengths in ascending order whose cost is the least.

    A range costs `start_cost` + its size x its longest.
    """
    count = len(lengths)
    cost = [0] + [0] * count
    cut = [0] * (count + 1)
    for end in range(1, count + 1):
        longest = lengths[end - 1]
        cost[end], cut[end] = min((cost[begin] + start_cost + (end - begin) * longest, begin) for begin in range(end))
    ranges = []
    end = count
    while end:
        ranges.append((cut[end], end))
        end = cut[end]
    return ranges[::-1]


def fewest_cuts(lengths: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Return ranges [begin, end) over lengths in their order, as few as hold at most `most` together each.

    A length beyond that stands alone.
    """
    ranges: list[tuple[int, int]] = []
    begin = total = 0
    for index, length in enumerate(lengths):
        if index > begin and total + length > most:
            ranges.append((begin, index))
            begin, total = index, 0
        total += length
    return [*ranges, (begin, len(lengths))]


def padded_length(longest: int, *, max_length: int, to_max_length: bool, border: int) -> int:
    """Return the length that a micro-batch is padded to.

    Args:
        longest: its longest sequence.
        max_length: never more than this.
        to_max_length: pad everything to it (an objective that averages over padding).
        border: padding positions that every sequence shorter than `max_length` needs behind it.
    """
    return max_length if to_max_length else min(longest + border, max_length)


def padded_cuts(
    lengths: np.ndarray,
    *,
    tokens: int,
    max_length: int,
    to_max_length: bool = False,
    border: int = 0,
    enough_tokens: int | None = None,
) -> list[tuple[int, int]]:
    """Return (start, end) of the micro-batches of sequences sorted from long to short.

    Each holds as many as fit into `tokens` positions after padding, at least one. A micro-batch that has
    `enough_tokens` ends earlier, where the sequences become short enough for padding to be a waste; None: never.
    """
    bounds = []
    start = 0
    while start < len(lengths):
        length = padded_length(int(lengths[start]), max_length=max_length, to_max_length=to_max_length, border=border)
        end = min(start + max(1, tokens // length), len(lengths))
        if enough_tokens is not None and not to_max_length:
            # sorted from long to short: count those that are nearly as long as the longest
            similar = int(np.searchsorted(-lengths[start:end], -SIMILAR * lengths[start], side="right"))
            end = min(end, start + max(similar, -(-enough_tokens // length)))
        bounds.append((start, end))
        start = end
    return bounds
