"""Which sequences a step reads, which process reads them, and in which micro-batch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from compactbio.errors import UserError

SIMILAR = 0.85  # sequences this near the longest of a micro-batch waste at most 15 % of their positions
_ORDER_STREAM = 0  # keeps these random numbers apart from those of the masking


class GlobalOrder:
    """The sequences of a corpus, shuffled anew each epoch and cut into global batches, without an end.

    A batch may hold the end of one epoch and the beginning of the next, so that every batch is full.
    """

    def __init__(self, sequences: int, batch_size: int, seed: int) -> None:
        self.sequences = sequences
        self.batch_size = batch_size
        self.seed = seed
        # two epochs meet in one batch; 4 bytes a sequence each
        self._epoch = lru_cache(maxsize=2)(self._shuffled)

    def batch(self, step: int) -> np.ndarray:
        """Return the sequence numbers (batch_size,) of global step `step` (from 1), a function of (seed, step)."""
        places = np.arange((step - 1) * self.batch_size, step * self.batch_size, dtype=np.int64)
        epochs, offsets = places // self.sequences, places % self.sequences
        batch = np.empty(self.batch_size, dtype=np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            batch[here] = self._epoch(int(epoch))[offsets[here]]
        return batch

    def _shuffled(self, epoch: int) -> np.ndarray:
        """Return one epoch's order of all sequences, uint32."""
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, _ORDER_STREAM, epoch]))
        return generator.permutation(np.arange(self.sequences, dtype=np.uint32))


def check_split(batch_size: int, processes: int) -> None:
    """Refuse a global batch that the processes cannot share equally."""
    if batch_size % processes:
        divisors = [number for number in range(1, batch_size + 1) if batch_size % number == 0]
        raise UserError(
            f"optimisation.global_batch_size: {batch_size} sequences cannot be split over {processes} processes; "
            f"use one of {', '.join(map(str, divisors))} processes, or another batch size"
        )


def share_of_process(lengths: np.ndarray, rank: int, processes: int) -> np.ndarray:
    """Return the places in the global batch that a process takes, longest sequence first.

    Dealing them out in the order of their lengths gives all processes nearly the same work.
    """
    return np.argsort(-lengths.astype(np.int64), kind="stable")[rank::processes]


def padded_length(longest: int, *, max_length: int, to_max_length: bool, border: int) -> int:
    """Return the length that a micro-batch is padded to.

    Args:
        longest: its longest sequence.
        max_length: never more than this.
        to_max_length: pad everything to it (an objective that averages over padding).
        border: padding positions that every sequence shorter than `max_length` needs behind it.
    """
    return max_length if to_max_length else min(longest + border, max_length)


def micro_batch_bounds(
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
