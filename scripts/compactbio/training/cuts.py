"""Sequences in an order, cut into contiguous parts: the micro-batches of pre-training and fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence


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
