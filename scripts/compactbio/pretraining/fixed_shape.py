"""The one shape of packed micro-batches on a GPU, where shapes that repeat can be captured; its fill changes no sum.

A micro-batch holds as many sequences as fit. What is left of its positions is cut into sequences of [PAD] that nobody
reads, and what is left of its rows (tokens to predict) asks them for something that no term counts, so that a kernel
of attention sees queries and keys in every sequence.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from compactbio.pretraining.masking import column_numbers
from compactbio.training.interface import MicroBatch

IGNORED = -100  # the label that torch's cross-entropy leaves out
MULTIPLE = 64  # of positions and rows, as matrix products on a GPU like them
DEVIATIONS = 4.0  # of the number of masked tokens, that rows are kept for
START = 512  # positions that take as long as it takes to start a micro-batch (an estimate)


@dataclass(frozen=True)
class FixedShape:
    """The sizes of all micro-batches of a run.

    Attributes:
        positions: of tokens.
        sequences: with tokens of the corpus, at most.
        rows: of tokens to predict.
        max_length: of a sequence.
        kernel: the attention that takes it (see `packed_attention`).
    """

    positions: int
    sequences: int
    rows: int
    max_length: int
    kernel: str

    @property
    def fills(self) -> int:
        """Return how many sequences of fill there are at most: each takes max_length positions and as many rows."""
        return math.ceil(max(self.positions, self.rows) / self.max_length)

    @property
    def slots(self) -> int:
        """Return how many sequences `boundaries` holds."""
        return self.sequences + self.fills

    @property
    def capacity(self) -> tuple[int, int, int]:
        """Return how many tokens, sequences and rows it takes: a position and a row of each sequence of fill stay."""
        return self.positions - math.ceil(self.rows / self.max_length), self.sequences, self.rows - self.fills

    def cuts(self, lengths: np.ndarray, masked_lengths: np.ndarray) -> list[tuple[int, int]]:
        """Return ranges [begin, end) over sequences in their order, as few as fit each."""
        return _cuts(lengths.tolist(), rows_of(masked_lengths).tolist(), self.capacity)

    def record(self) -> dict[str, Any]:
        """Return what a run's records say of it."""
        return asdict(self)


def rows_of(masked_lengths: np.ndarray) -> np.ndarray:
    """Return the rows of sequences: one for each token to predict, and one unread where there is none."""
    return np.maximum(masked_lengths, 1)


def smallest_positions(max_length: int) -> int:
    """Return the fewest positions of a micro-batch, which takes any one sequence."""
    return rounded_up(max_length + 2)


def shape_for(positions: int, sequences: int, *, max_length: int, fraction: float, kernel: str) -> FixedShape:
    """Return the shape with so many positions; its rows take what masking `fraction` of them selects.

    More than that, which is rare, goes to another micro-batch.
    """
    rows = masked_rows(positions, fraction, max_length, fills=math.ceil(positions / max_length))
    return FixedShape(positions, sequences, rows, max_length, kernel)


def masked_rows(positions: int, fraction: float, max_length: int, *, fills: int = 0) -> int:
    """Return how many rows take what masking a fraction of positions selects, and one for each sequence of fill."""
    expected = fraction * positions + DEVIATIONS * math.sqrt(fraction * (1.0 - fraction) * positions)
    return rounded_up(max(math.ceil(expected), max_length) + fills)


def collate_fixed(
    lengths: np.ndarray,
    *,
    original: np.ndarray,
    inputs: np.ndarray,
    selected: np.ndarray,
    shape: FixedShape,
    pad_id: int,
) -> MicroBatch:
    """Return the micro-batch of sequences, given joined, that a shape takes (see `FixedShape.cuts`).

    Its tensors, of T positions, M rows and S slots: input_ids and position_ids (1, T); real_tokens (1, T) bool, not
    fill; boundaries (S + 1,) int32, where sequences begin and end, the last ones empty; masked_positions, labels and
    real_rows (bool) (M,), in the order of the sequences, each of which has one row or more; masked_boundaries
    (S + 1,) int32, where their rows begin and end. Constants: kernel and longest. Its counts are those of `collate`.
    """
    numbers = np.repeat(np.arange(len(lengths)), lengths)
    masked_lengths = np.bincount(numbers[selected], minlength=len(lengths))
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    asked = selected.copy()
    asked[starts[masked_lengths == 0]] = True
    places = np.flatnonzero(asked)
    fill, fill_rows = shape.positions - len(numbers), shape.rows - len(places)
    fills = max(math.ceil(fill / shape.max_length), math.ceil(fill_rows / shape.max_length))
    all_lengths = np.concatenate([lengths.astype(np.int64), shared_equally(fill, fills)])
    row_counts = np.concatenate([rows_of(masked_lengths), shared_equally(fill_rows, fills)])
    ids = np.full(shape.positions, pad_id, dtype=np.int64)
    ids[: len(numbers)] = inputs
    fill_starts = (np.cumsum(all_lengths) - all_lengths)[len(lengths) :]
    labels = np.full(shape.rows, IGNORED, dtype=np.int64)
    real_rows = np.zeros(shape.rows, dtype=bool)
    real_rows[: len(places)] = selected[places]
    labels[real_rows] = original[selected]
    arrays = {
        "input_ids": ids[None],
        "position_ids": column_numbers(all_lengths)[None],
        "real_tokens": (np.arange(shape.positions) < len(numbers))[None],
        "boundaries": running_sums(all_lengths, shape.slots),
        "masked_positions": np.concatenate([places, np.repeat(fill_starts, row_counts[len(lengths) :])]),
        "masked_boundaries": running_sums(row_counts, shape.slots),
        "labels": labels,
        "real_rows": real_rows,
    }
    tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in arrays.items()}
    tensors |= {"kernel": shape.kernel, "longest": shape.max_length}
    return MicroBatch(tensors, counts_of(lengths, int(selected.sum()), shape.max_length), fixed=True)


def counts_of(lengths: np.ndarray, masked: int, max_length: int) -> dict[str, float]:
    """Return the counts of sequences without padding, `masked` of whose tokens are to be predicted."""
    tokens, pairs = float(lengths.sum()), float((lengths.astype(np.int64) ** 2).sum())
    return {
        "masked": float(masked),
        "tokens": tokens,
        "sequences": float(len(lengths)),
        "padded_tokens": tokens,
        "token_pairs": pairs,
        "padded_pairs": pairs,
        "key_rows": tokens * max_length,
    }


def full_texts(lengths: np.ndarray, rows: int, vocabulary_size: int) -> dict[str, np.ndarray]:
    """Return random tokens of sequences, joined, at most `rows` of which are to be predicted, as collating asks."""
    ids = np.random.default_rng(0).integers(vocabulary_size, size=int(lengths.sum()))
    return {"original": ids, "inputs": ids, "selected": column_numbers(lengths) < rows // len(lengths)}


def _cuts(lengths: list[int], rows: list[int], capacity: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Return ranges [begin, end) over sequences, as few as hold no more tokens, sequences and rows each."""
    ranges: list[tuple[int, int]] = []
    begin, held = 0, (0, 0, 0)
    for index, (length, row) in enumerate(zip(lengths, rows, strict=True)):
        more = (held[0] + length, held[1] + 1, held[2] + row)
        if index > begin and any(size > most for size, most in zip(more, capacity, strict=True)):
            ranges.append((begin, index))
            begin, more = index, (length, 1, row)
        held = more
    return [*ranges, (begin, len(lengths))]


def shared_equally(total: int, parts: int) -> np.ndarray:
    """Return a number shared as equally as whole numbers allow."""
    return np.diff(np.arange(parts + 1, dtype=np.int64) * total // max(parts, 1))


def running_sums(sizes: np.ndarray, slots: int) -> np.ndarray:
    """Return the running sum of sizes from 0, (slots + 1,) int32, its last number repeated."""
    sums = np.concatenate([[0], np.cumsum(sizes)])
    return np.concatenate([sums, np.full(slots + 1 - len(sums), sums[-1])]).astype(np.int32)


def rounded_up(number: int) -> int:
    """Return the next multiple of `MULTIPLE`."""
    return math.ceil(number / MULTIPLE) * MULTIPLE
