"""Micro-batches of a pre-training step: tensors, and what they add to the denominators of the terms."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from compactbio.corpus.tokens import TokenStore
from compactbio.pretraining.fixed_shape import counts_of
from compactbio.pretraining.masking import Masking, column_numbers
from compactbio.pretraining.padded_classes import PaddedClasses
from compactbio.pretraining.sampling import GlobalOrder, share_of_process
from compactbio.pretraining.shape_sizes import PackedShapes
from compactbio.terms.cost import Cost
from compactbio.training.cuts import fewest_cuts, padded_cuts, padded_length
from compactbio.training.interface import MicroBatch


class PretrainingBatches:
    """Calls give this process's micro-batches of a global step, a pure function of (seed, step, rank).

    Args:
        store: the corpus.
        masking: what is masked, and in which global batches.
        micro_batch_tokens: positions of a micro-batch at most, padding included.
        cost: the arithmetic of a step, counted as `flops`; None: it is not.
        packed: sequences stand one behind the other, without padding; else padded.
        fixed: the shapes of micro-batches, where they repeat; None: they follow their sequences.
        to_max_length: pad every sequence to `max_length` (for terms that average over padding).
        border: see `padded_length`; 1 for a model whose embedding of a token sees the next token.
        enough_tokens: positions from which on a padded micro-batch ends rather than pad; None: fill it.
    """

    def __init__(
        self,
        store: TokenStore,
        masking: Masking,
        *,
        micro_batch_tokens: int,
        cost: Cost | None = None,
        packed: bool = False,
        fixed: PackedShapes | PaddedClasses | None = None,
        to_max_length: bool = False,
        border: int = 0,
        enough_tokens: int | None = None,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.store = store
        self.masking = masking
        self.order = GlobalOrder(len(store), masking.batch_size, masking.seed)
        self.packed, self.fixed = packed, fixed
        self.cost = cost
        self.max_length = masking.max_length
        self.padding: dict[str, Any] = {
            "max_length": self.max_length,
            "to_max_length": to_max_length,
            "border": border,
        }
        self.micro_batch_tokens = micro_batch_tokens
        self.enough_tokens = enough_tokens
        self.rank, self.processes = rank, processes

    def __call__(self, step: int) -> list[MicroBatch]:
        """Return this process's micro-batches of a step (from 1)."""
        sequences = self.order.batch(step)
        positions = share_of_process(self.store.lengths[sequences], self.rank, self.processes)
        joined, lengths = self.store.gather_joined(sequences[positions])
        masked = self.masking.apply(step, positions, lengths, joined)
        ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        made = []
        masked_lengths = np.add.reduceat(masked.selected, ends[:-1], dtype=np.int64)
        pad_id = self.store.special_ids["pad"]
        for start, end in self._bounds(lengths, masked_lengths):
            part = slice(ends[start], ends[end])
            texts = {"original": joined[part], "inputs": masked.inputs[part], "selected": masked.selected[part]}
            if self.fixed is not None:
                batch = self.fixed.collate(lengths[start:end], **texts, pad_id=pad_id)
            else:
                length = None if self.packed else padded_length(int(lengths[start]), **self.padding)
                batch = collate(lengths[start:end], **texts, length=length, pad_id=pad_id, max_length=self.max_length)
            if self.cost is not None:
                batch.counts["flops"] = self.cost.flops(lengths[start:end], masked_lengths[start:end])
            made.append(pinned(batch))
        return made

    def examples(self) -> list[MicroBatch]:
        """Return a full micro-batch of each shape, where shapes are fixed, the largest first."""
        if self.fixed is None:
            return []
        pad_id = self.store.special_ids["pad"]
        return self.fixed.examples(vocabulary_size=self.store.vocabulary_size, pad_id=pad_id)

    def record(self) -> dict[str, Any]:
        """Return what a run's records say of the micro-batches."""
        layout = "fixed" if self.fixed is not None else "packed" if self.packed else "padded"
        sizes = {} if self.fixed is None else self.fixed.record()
        return {"layout": layout, "tokens": self.micro_batch_tokens, **sizes}

    def _bounds(self, lengths: np.ndarray, masked_lengths: np.ndarray) -> list[tuple[int, int]]:
        """Return (start, end) of the micro-batches of sequences sorted from long to short."""
        if self.fixed is not None:
            return self.fixed.cuts(lengths, masked_lengths)
        if self.packed:
            return fewest_cuts(lengths.tolist(), self.micro_batch_tokens)
        return padded_cuts(lengths, tokens=self.micro_batch_tokens, enough_tokens=self.enough_tokens, **self.padding)


def collate(
    lengths: np.ndarray,
    *,
    original: np.ndarray,
    inputs: np.ndarray,
    selected: np.ndarray,
    length: int | None,
    pad_id: int,
    max_length: int,
) -> MicroBatch:
    """Return the micro-batch of b sequences, given joined: padded to `length`, or packed where that is None.

    Its tensors: masked_positions (m,) and labels (m,), positions counting through the micro-batch; masked_lengths, how
    many of them each sequence has, as a tuple of the host. Padded: input_ids (b, length); real_tokens (b, length) bool
    and real_positions (tokens,), left out where nothing is padding. Packed: input_ids and position_ids (1, tokens),
    lengths as a tuple of the host.

    Its counts (a term's record says which it is divided by): masked; tokens; padded_tokens = b x length;
    token_pairs = sum of squared lengths; padded_pairs = b x length^2; key_rows = tokens x max_length.
    """
    columns = column_numbers(lengths)
    tokens, pairs = len(columns), float((lengths.astype(np.int64) ** 2).sum())
    if length is None:
        tensors: dict[str, Any] = {
            "input_ids": torch.from_numpy(inputs.astype(np.int64))[None],
            "position_ids": torch.from_numpy(columns)[None],
            "lengths": tuple(lengths.tolist()),
        }
        places, positions, position_pairs = np.arange(tokens), tokens, pairs
    else:
        places = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths) * length + columns
        positions, position_pairs = len(lengths) * length, float(len(lengths) * length * length)
        tensors = _padded(inputs, places, (len(lengths), length), pad_id)
    tensors["masked_positions"] = torch.from_numpy(places[selected])
    tensors["labels"] = torch.from_numpy(original[selected].astype(np.int64))
    numbers = np.repeat(np.arange(len(lengths)), lengths)
    tensors["masked_lengths"] = tuple(np.bincount(numbers[selected], minlength=len(lengths)).tolist())
    counts = counts_of(lengths, int(selected.sum()), max_length)
    counts |= {"padded_tokens": float(positions), "padded_pairs": position_pairs}
    return MicroBatch(tensors, counts)


def pinned(batch: MicroBatch) -> MicroBatch:
    """Return a micro-batch whose tensors are copied to a GPU while it works on the step before."""
    if torch.cuda.is_available():
        batch.tensors = {
            name: value.pin_memory() if isinstance(value, torch.Tensor) else value
            for name, value in batch.tensors.items()
        }
    return batch


def _padded(inputs: np.ndarray, places: np.ndarray, shape: tuple[int, int], pad_id: int) -> dict[str, Any]:
    """Return what a padded micro-batch says of its sequences."""
    padded = np.full(shape[0] * shape[1], pad_id, dtype=np.int64)
    padded[places] = inputs
    tensors: dict[str, Any] = {"input_ids": torch.from_numpy(padded).view(shape)}
    if len(places) < len(padded):
        real = np.zeros(len(padded), dtype=bool)
        real[places] = True
        tensors["real_tokens"] = torch.from_numpy(real).view(shape)
        tensors["real_positions"] = torch.from_numpy(places)
    return tensors
