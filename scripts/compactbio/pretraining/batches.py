"""Micro-batches of a pre-training step: tensors, and what they add to the denominators of the terms."""

from __future__ import annotations

import numpy as np
import torch

from compactbio.corpus.tokens import TokenStore
from compactbio.pretraining.masking import Masking, column_numbers
from compactbio.pretraining.sampling import GlobalOrder, micro_batch_bounds, padded_length, share_of_process
from compactbio.training.loop import MicroBatch


class PretrainingBatches:
    """Calls give this process's micro-batches of a global step, a pure function of (seed, step, rank).

    Args:
        store: the corpus.
        masking: what is masked.
        batch_size: sequences of a global batch.
        max_length: word pieces of a sequence at most.
        micro_batch_tokens: positions of a micro-batch at most, padding included.
        to_max_length: pad every sequence to `max_length` (for terms that average over padding).
        border: see `padded_length`; 1 for a model whose embedding of a token sees the next token.
        enough_tokens: positions from which on a micro-batch ends rather than pad; None: fill micro-batches.
    """

    def __init__(
        self,
        store: TokenStore,
        masking: Masking,
        *,
        batch_size: int,
        max_length: int,
        seed: int,
        micro_batch_tokens: int,
        to_max_length: bool = False,
        border: int = 0,
        enough_tokens: int | None = None,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.store = store
        self.masking = masking
        self.order = GlobalOrder(len(store), batch_size, seed)
        self.padding = {"max_length": max_length, "to_max_length": to_max_length, "border": border}
        self.limits = {"tokens": micro_batch_tokens, "enough_tokens": enough_tokens}
        self.max_length = max_length
        self.rank, self.processes = rank, processes

    def __call__(self, step: int) -> list[MicroBatch]:
        """Return this process's micro-batches of a step (from 1)."""
        sequences = self.order.batch(step)
        positions = share_of_process(self.store.lengths[sequences], self.rank, self.processes)
        joined, lengths = self.store.gather_joined(sequences[positions])
        masked = self.masking.apply(step, positions, lengths, joined)
        ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        made = []
        for start, end in micro_batch_bounds(lengths, **self.limits, **self.padding):
            part = slice(ends[start], ends[end])
            made.append(
                collate(
                    lengths[start:end],
                    original=joined[part],
                    inputs=masked.inputs[part],
                    selected=masked.selected[part],
                    length=padded_length(int(lengths[start]), **self.padding),
                    pad_id=self.store.special_ids["pad"],
                    max_length=self.max_length,
                )
            )
        return made


def collate(
    lengths: np.ndarray,
    *,
    original: np.ndarray,
    inputs: np.ndarray,
    selected: np.ndarray,
    length: int,
    pad_id: int,
    max_length: int,
) -> MicroBatch:
    """Return the micro-batch of b sequences, given joined, padded to `length`.

    Its tensors: input_ids (b, length); real_tokens (b, length) bool and real_positions (tokens,), left out where
    nothing is padding; masked_positions (m,) and labels (m,). Positions count through the padded batch.

    Its counts (`terms.TERMS` says which term divides by what): masked; tokens; padded_tokens = b x length;
    token_pairs = sum of squared lengths; padded_pairs = b x length^2; key_rows = tokens x max_length.
    """
    rows = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    flat = rows * length + column_numbers(lengths)
    padded = np.full(len(lengths) * length, pad_id, dtype=np.int64)
    padded[flat] = inputs
    tensors = {
        "input_ids": torch.from_numpy(padded).view(len(lengths), length),
        "masked_positions": torch.from_numpy(flat[selected]),
        "labels": torch.from_numpy(original[selected].astype(np.int64)),
    }
    tokens = len(flat)
    if tokens < len(padded):
        real = np.zeros(len(padded), dtype=bool)
        real[flat] = True
        tensors["real_tokens"] = torch.from_numpy(real).view(len(lengths), length)
        tensors["real_positions"] = torch.from_numpy(flat)
    if torch.cuda.is_available():  # copied to the GPU while it works on the step before
        tensors = {name: value.pin_memory() for name, value in tensors.items()}
    counts = {
        "masked": float(selected.sum()),
        "tokens": float(tokens),
        "sequences": float(len(lengths)),
        "padded_tokens": float(len(padded)),
        "token_pairs": float((lengths.astype(np.int64) ** 2).sum()),
        "padded_pairs": float(len(padded) * length),
        "key_rows": float(tokens * max_length),
    }
    return MicroBatch(tensors, counts)
