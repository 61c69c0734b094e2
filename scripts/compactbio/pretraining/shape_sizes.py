"""A handful of sizes of the packed shape, so that little of a micro-batch is fill; each is captured once.

The tokens of a step vary with its sequences, by some per cent of their mean, and one size would have to take nearly
all steps. Micro-batches are cut for the largest size, and each takes the smallest size that holds it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compactbio.pretraining.fixed_shape import (
    MULTIPLE,
    START,
    FixedShape,
    collate_fixed,
    full_texts,
    rounded_up,
    rows_of,
    shape_for,
    smallest_positions,
)
from compactbio.training.cuts import cheapest_cuts
from compactbio.training.interface import MicroBatch

MOST_SIZES = 6  # a capture takes seconds
HEADROOM = 1.03  # of the largest size over the fullest of the sampled steps


@dataclass(frozen=True)
class PackedShapes:
    """The shapes of all micro-batches of a run, the largest first."""

    shapes: tuple[FixedShape, ...]

    def cuts(self, lengths: np.ndarray, masked_lengths: np.ndarray) -> list[tuple[int, int]]:
        """Return ranges [begin, end) over sequences in their order, as few as the largest shape takes."""
        return self.shapes[0].cuts(lengths, masked_lengths)

    def collate(
        self, lengths: np.ndarray, *, original: np.ndarray, inputs: np.ndarray, selected: np.ndarray, pad_id: int
    ) -> MicroBatch:
        """Return the micro-batch of sequences, given joined, in the smallest shape that takes them."""
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        rows = int(rows_of(np.add.reduceat(selected, starts, dtype=np.int64)).sum())
        wanted = (int(lengths.sum()), len(lengths), rows)
        taking = [shape for shape in self.shapes if all(np.less_equal(wanted, shape.capacity))]
        texts = {"original": original, "inputs": inputs, "selected": selected}
        return collate_fixed(lengths, **texts, shape=taking[-1], pad_id=pad_id)

    def examples(self, *, vocabulary_size: int, pad_id: int) -> list[MicroBatch]:
        """Return a micro-batch of each shape, the largest first, by which passes are captured."""
        return [full_batch(shape, vocabulary_size=vocabulary_size, pad_id=pad_id) for shape in self.shapes]

    def record(self) -> dict[str, Any]:
        """Return what a run's records say of it."""
        largest = self.shapes[0].record()
        sizes = ("positions", "sequences", "rows")
        shapes = [{name: getattr(shape, name) for name in sizes} for shape in self.shapes]
        return {**{name: value for name, value in largest.items() if name not in sizes}, "shapes": shapes}


def plan_shapes(
    steps: Sequence[np.ndarray], *, most_positions: int, max_length: int, fraction: float, kernel: str
) -> PackedShapes:
    """Return the shapes in which a process's steps take the fewest positions, fill included.

    Args:
        steps: lengths of the sequences of some of its steps, each from long to short.
        most_positions: that memory takes, no fewer than `smallest_positions`.
        fraction: of tokens that are masked.
    """
    totals = np.array([int(lengths.sum()) for lengths in steps])
    least = smallest_positions(max_length)
    most = max(most_positions // MULTIPLE * MULTIPLE, least)
    fullest = HEADROOM * totals.max()
    options: dict[str, Any] = {"max_length": max_length, "fraction": fraction, "kernel": kernel}
    planned = []
    for parts in range(math.ceil(totals.mean() / most), math.ceil(fullest / most) + 1):
        slack = 0 if parts == 1 else max_length  # a sequence that the part before has no room for
        wanted = _needed(math.ceil(fullest / parts) + slack, max_length, fraction)
        planned.append(_planned(steps, min(max(wanted, least), most), least, options))
    return min(planned, key=lambda costly: costly[0])[1]


def _planned(
    steps: Sequence[np.ndarray], positions: int, least: int, options: dict[str, Any]
) -> tuple[int, PackedShapes]:
    """Return what steps cost in positions with a largest shape of so many, and the shapes."""
    share = max(len(lengths) for lengths in steps)
    largest = shape_for(positions, share, **options)
    held: list[tuple[int, int]] = []  # positions and sequences of each micro-batch
    for lengths in steps:
        for begin, end in largest.cuts(lengths, np.floor(options["fraction"] * lengths).astype(np.int64)):
            needed = _needed(int(lengths[begin:end].sum()), options["max_length"], options["fraction"])
            held.append((min(max(needed, least), positions), end - begin))
    sizes = few_sizes(sorted(needed for needed, _ in held))
    shapes = []
    for size in (positions, *(size for size in sizes[::-1] if size < positions)):
        sequences = max(count for needed, count in held if needed <= size)
        shapes.append(shape_for(size, _with_room(sequences, share), **options))
    cost = sum(START + next(size for size in sizes if size >= needed) for needed, _ in held)
    return cost, PackedShapes(tuple(shapes))


def sequences_in(steps: Sequence[np.ndarray], positions: int) -> int:
    """Return about how many sequences a shape of so many positions takes: as many of a step's shortest as it holds.

    Args:
        steps: lengths of the sequences of some steps, each from long to short.
    """
    return max(int(np.searchsorted(lengths[::-1].cumsum(), positions, side="right")) for lengths in steps)


def _with_room(sequences: int, share: int) -> int:
    """Return how many sequences a shape takes where some steps had so many of a process's share."""
    return min(share, math.ceil(1.2 * sequences) + 8)


def full_batch(shape: FixedShape, *, vocabulary_size: int, pad_id: int) -> MicroBatch:
    """Return a micro-batch of random tokens that fills a shape, as expensive as any."""
    tokens, sequences, rows = shape.capacity
    length = min(shape.max_length, tokens)
    lengths = np.full(max(min(tokens // length, sequences), 1), length, dtype=np.int64)
    return collate_fixed(lengths, **full_texts(lengths, rows, vocabulary_size), shape=shape, pad_id=pad_id)


def _needed(tokens: int, max_length: int, fraction: float) -> int:
    """Return the positions of a shape that takes so many tokens: a position for each sequence of fill is added."""
    spare = math.ceil((1.0 + fraction) * fraction * tokens / max_length) + 3
    return rounded_up(tokens + spare)


def few_sizes(needed: list[int]) -> list[int]:
    """Return fewer than `MOST_SIZES` sizes for micro-batches that need so many positions, in ascending order."""
    penalty = START
    while True:
        sizes = [needed[end - 1] for _, end in cheapest_cuts(needed, penalty)]
        if len(sizes) < MOST_SIZES:
            return sizes
        penalty *= 2
