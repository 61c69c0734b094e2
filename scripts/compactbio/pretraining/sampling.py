"""Which sequences a step reads, which process reads them, and in which micro-batch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from compactbio.errors import UserError

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
