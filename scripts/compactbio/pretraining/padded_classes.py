"""Padded micro-batches of a handful of shapes on a GPU, for terms that packed sequences do not give; fill adds nothing.

Every class has (nearly) the same number of positions, in longer or fewer rows. A micro-batch takes sequences from long
to short into the class of its first one, so that only the last can be short of sequences: it is filled with rows of
[PAD] that no term counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from compactbio.pretraining.fixed_shape import IGNORED, START, counts_of, full_texts, masked_rows
from compactbio.training.cuts import padded_length
from compactbio.training.interface import MicroBatch

CLASSES = 4  # lengths, where sequences need not be padded to the maximal one
LENGTH_MULTIPLE = 8  # of lengths, as tensor cores like them
PARTS = 8  # numbers of micro-batches that are tried, from the fewest that memory takes on


@dataclass(frozen=True)
class PaddedClasses:
    """The shapes of all micro-batches of a run.

    Attributes:
        lengths: of a row, ascending; the last is the corpus' maximal length.
        positions: of a micro-batch, as many as whole rows make of it.
        rows: tokens to predict in a micro-batch, at most.
        border: padding that a sequence needs behind it (see `cuts.padded_length`).
    """

    lengths: tuple[int, ...]
    positions: int
    rows: int
    border: int = 0

    def shape_of(self, longest: int) -> tuple[int, int]:
        """Return (sequences, length) of the class for micro-batches that begin with this length."""
        needed = padded_length(longest, max_length=self.lengths[-1], to_max_length=False, border=self.border)
        length = next(one for one in self.lengths if one >= needed)
        return max(1, self.positions // length), length

    def cuts(self, lengths: np.ndarray, masked_lengths: np.ndarray) -> list[tuple[int, int]]:
        """Return ranges [begin, end) over sequences from long to short, as few as fit each."""
        ranges, begin = [], 0
        masked = np.concatenate([[0], np.cumsum(masked_lengths)])
        while begin < len(lengths):
            most = begin + self.shape_of(int(lengths[begin]))[0]
            within = int(np.searchsorted(masked, masked[begin] + self.rows, side="right")) - 1
            end = max(begin + 1, min(most, within, len(lengths)))
            ranges.append((begin, end))
            begin = end
        return ranges

    def collate(
        self, lengths: np.ndarray, *, original: np.ndarray, inputs: np.ndarray, selected: np.ndarray, pad_id: int
    ) -> MicroBatch:
        """Return the micro-batch of sequences, given joined from long to short, as one of `cuts`.

        Its tensors, of b rows and M tokens to predict: input_ids and real_tokens (bool), (b, length); masked_positions,
        labels and real_rows (bool), (M,). Its counts are those of `micro_batches.collate`, fill left out.
        """
        count, length = self.shape_of(int(lengths[0]))
        columns = np.arange(length) < lengths[:, None]
        places = np.flatnonzero(columns)  # of tokens: sequences are the first rows
        ids = np.full((count, length), pad_id, dtype=np.int64)
        ids[: len(lengths)][columns] = inputs
        real_tokens = np.zeros((count, length), dtype=bool)
        real_tokens[: len(lengths)] = columns
        masked = int(selected.sum())
        positions = np.zeros(self.rows, dtype=np.int64)  # fill asks for [CLS], which is never masked
        positions[:masked] = places[selected]
        labels = np.full(self.rows, IGNORED, dtype=np.int64)
        labels[:masked] = original[selected]
        arrays = {
            "input_ids": ids,
            "real_tokens": real_tokens,
            "masked_positions": positions,
            "labels": labels,
            "real_rows": np.arange(self.rows) < masked,
        }
        counts = counts_of(lengths, masked, self.lengths[-1])
        counts |= {
            "padded_tokens": float(len(lengths) * length),
            "padded_pairs": float(len(lengths) * length * length),
        }
        tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return MicroBatch(tensors, counts, fixed=True)

    def examples(self, *, vocabulary_size: int, pad_id: int) -> list[MicroBatch]:
        """Return a full micro-batch of each class, the longest first, by which passes are captured."""
        made = []
        for length in self.lengths[::-1]:
            longest = length if length == self.lengths[-1] else length - self.border
            lengths = np.full(self.shape_of(longest)[0], longest, dtype=np.int64)
            made.append(self.collate(lengths, **full_texts(lengths, self.rows, vocabulary_size), pad_id=pad_id))
        return made

    def record(self) -> dict[str, Any]:
        """Return what a run's records say of it."""
        return asdict(self)


def plan_classes(
    steps: Sequence[np.ndarray],
    *,
    most_positions: int,
    max_length: int,
    to_max_length: bool,
    border: int,
    fraction: float,
) -> PaddedClasses:
    """Return the classes in which a process's steps take the fewest positions, fill included.

    Args:
        steps: lengths of the sequences of some of its steps, each from long to short.
        most_positions: that memory takes, at least `max_length`.
        to_max_length: every row has the maximal length (terms that average over padding).
        fraction: of tokens that are masked.
    """
    parts = [max_length] if to_max_length else [max_length * part // CLASSES for part in range(1, CLASSES + 1)]
    lengths = sorted({min(max_length, math.ceil(one / LENGTH_MULTIPLE) * LENGTH_MULTIPLE) for one in parts})
    most = max(most_positions // max_length, 1)
    wanted = max(math.ceil(sum(map(len, steps)) / len(steps)), 1)  # rows, were all of them of the maximal length
    candidates = {
        min(math.ceil(wanted / number), most)
        for number in range(math.ceil(wanted / most), math.ceil(wanted / most) + PARTS)
    }

    def classes(rows: int) -> PaddedClasses:
        positions = rows * max_length
        return PaddedClasses(tuple(lengths), positions, masked_rows(positions, fraction, max_length), border)

    def cost(candidate: PaddedClasses) -> float:
        cuts = (candidate.cuts(one, np.floor(fraction * one).astype(np.int64)) for one in steps)
        return (candidate.positions + START) * sum(map(len, cuts))

    return min(map(classes, sorted(candidates)), key=cost)
