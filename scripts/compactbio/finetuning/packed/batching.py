"""Micro-batches of training and prediction with little padding or none, and the gradients of plain shuffling.

Training: the examples of an epoch are shuffled by (seed, epoch) and cut into batches of `batch_size`, as plain
training does; the last, smaller batch is kept. Inside a batch the sequences are sorted by length and cut into
micro-batches: on a CPU packed without padding (groups.py), on a GPU each padded to its own longest, and on both padded
to one given length where the loss runs over padding. The loop divides every micro-batch's sum by the count of the whole
batch, so that (dropout's draw aside) the gradient is the one of the batch as a whole: which examples share an update is
untouched by their lengths. Buckets over several batches would put sentences of one length into one update and, where
the loss is a mean over pieces, weigh long sentences less.

A GPU's micro-batches are the cut with the least cost, where each costs its padded pieces and a fixed number more for
being started: so many that nearly nothing is cut, since small batches leave a GPU idle.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch

from compactbio.finetuning.features import Feature, collate, join
from compactbio.finetuning.packed.groups import pack
from compactbio.training.cuts import cheapest_cuts, fewest_cuts, padded_cuts
from compactbio.training.interface import MicroBatch

CPU_PIECES = 2048  # of a micro-batch of training on a CPU at most, where it has more than one sequence
START_COST = 4096  # pieces of padding that one micro-batch more is worth on a GPU
PREDICTED_PIECES = {"cpu": 4096, "cuda": 65536}  # padded pieces of a micro-batch of prediction at most


@functools.lru_cache(maxsize=1)
def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of the examples in an epoch (counted from 0), drawn by (seed, epoch) alone."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(count)


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return how many updates an epoch takes."""
    return -(-count // batch_size)


def training_batches(
    features: Sequence[Feature],
    denominator: str,
    counted: Callable[[dict[str, np.ndarray]], float],
    *,
    batch_size: int,
    seed: int,
    pad: int,
    token_types: bool,
    heads: int | None,
    device: str,
    length: int | None = None,
) -> Callable[[int], list[MicroBatch]]:
    """Return the function from a step (from 1) to its micro-batches, pure in (seed, step).

    Args:
        denominator: name of the count that the loss is divided by.
        counted: what the arrays of a micro-batch add to it.
        heads: of the model's attention, where micro-batches are packed; None: they are padded.
        device: `cpu` or `cuda`, for the size of the micro-batches.
        length: that all sequences are padded to; None: to the longest of the micro-batch.
    """
    steps = steps_per_epoch(len(features), batch_size)
    lengths = np.asarray([len(feature.ids) for feature in features])

    def batches(step: int) -> list[MicroBatch]:
        epoch, index = divmod(step - 1, steps)
        order = epoch_order(len(features), seed, epoch)
        chosen = order[index * batch_size : (index + 1) * batch_size]
        chosen = chosen[np.argsort(lengths[chosen], kind="stable")]
        sizes = lengths[chosen].tolist() if length is None else [length] * len(chosen)
        cuts = fewest_cuts(sizes, CPU_PIECES) if device == "cpu" else cheapest_cuts(sizes, START_COST)
        return [micro_batch([features[i] for i in chosen[begin:end]]) for begin, end in cuts]

    def micro_batch(examples: list[Feature]) -> MicroBatch:
        if heads:
            arrays = join(examples, token_types=token_types)
        else:
            arrays = collate(examples, pad, token_types=token_types, length=length)
        sizes = [len(example.ids) for example in examples]
        counts = {denominator: counted(arrays), "tokens": float(sum(sizes)), "sequences": float(len(examples))}
        tensors = to_tensors(arrays)
        return MicroBatch({**tensors, "packing": pack(sizes, heads)} if heads else tensors, counts)

    return batches


def prediction_micro_batches(features: Sequence[Feature], device: str, length: int | None = None) -> list[list[int]]:
    """Return indices of all features in micro-batches of similar length, longest first (memory peaks at once).

    They are padded to `length` or, where that is None, to the longest of the micro-batch.
    """
    order = sorted(range(len(features)), key=lambda index: -len(features[index].ids))
    lengths = np.asarray([length or len(features[index].ids) for index in order])
    cuts = padded_cuts(lengths, tokens=PREDICTED_PIECES[device], max_length=max(lengths, default=0))
    return [order[begin:end] for begin, end in cuts]


def to_tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Return a collated micro-batch as tensors that share its memory."""
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
