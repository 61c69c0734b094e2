"""Micro-batches of training and prediction with little padding or none, and the gradients of plain shuffling.

Training: the examples of an epoch are shuffled by (seed, epoch) and cut into batches of `batch_size`, as plain
training does; the last, smaller batch is kept. Inside a batch the sequences are sorted by length and cut into
micro-batches: on a CPU packed without padding (groups.py), on a GPU in a few shapes (fixed_shapes.py), on both padded
where the architecture is not known, and to one given length where the loss runs over padding. The loop divides a
micro-batch's sum by the count of the whole batch, so that (dropout's draw aside) the gradient is the one of the batch
as a whole: which examples share an update is untouched by their lengths. Buckets over several batches would put
sentences of one length into one update and, where the loss is a mean over pieces, weigh long sentences less.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch

from compactbio.finetuning.features import Feature, collate, join
from compactbio.finetuning.packed.fixed_shapes import MOST_PIECES, FixedShapes, Shape
from compactbio.finetuning.packed.groups import pack
from compactbio.training.cuts import fewest_cuts, padded_cuts
from compactbio.training.interface import MicroBatch

# pieces of a micro-batch of training at most, where it has more than one sequence
TRAINED_PIECES = {"cpu": 2048, "cuda": MOST_PIECES}
PREDICTED_PIECES = {"cpu": 4096, "cuda": 16384}  # padded pieces of a micro-batch of prediction at most


@functools.lru_cache(maxsize=1)
def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of the examples in an epoch (counted from 0), drawn by (seed, epoch) alone."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(count)


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return how many updates an epoch takes."""
    return -(-count // batch_size)


def batch_lengths(features: Sequence[Feature], *, batch_size: int, seed: int, epochs: int) -> list[list[int]]:
    """Return the lengths of the sequences of each step, in ascending order."""
    lengths = np.asarray([len(feature.ids) for feature in features])
    orders = (epoch_order(len(features), seed, epoch) for epoch in range(epochs))
    starts = range(0, len(features), batch_size)
    return [np.sort(lengths[order[begin : begin + batch_size]]).tolist() for order in orders for begin in starts]


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
    length: int | None = None,
    shapes: FixedShapes | None = None,
    device: str = "cpu",
) -> Callable[[int], list[MicroBatch]]:
    """Return the function from a step (from 1) to its micro-batches, pure in (seed, step).

    Args:
        denominator: name of the count that the loss is divided by.
        counted: what the arrays of a micro-batch add to it.
        heads: of the model's attention, where micro-batches are packed for a CPU; None: they are not.
        length: that all sequences are padded to; None: to the longest of the micro-batch.
        shapes: that all micro-batches have, on a GPU.
        device: cpu or cuda, by which they are cut where they have none.
    """
    steps = steps_per_epoch(len(features), batch_size)
    lengths = np.asarray([len(feature.ids) for feature in features])

    def batches(step: int) -> list[MicroBatch]:
        epoch, index = divmod(step - 1, steps)
        order = epoch_order(len(features), seed, epoch)
        chosen = order[index * batch_size : (index + 1) * batch_size]
        chosen = chosen[np.argsort(lengths[chosen], kind="stable")]
        sizes = lengths[chosen].tolist() if length is None else [length] * len(chosen)
        cuts = fewest_cuts(sizes, TRAINED_PIECES[device]) if shapes is None else shapes.cuts(sizes)
        made = ([features[i] for i in chosen[begin:end]] for begin, end in cuts)
        return [
            micro_batch(some, denominator, counted, pad=pad, token_types=token_types, heads=heads, length=length)
            if shapes is None
            else fixed_micro_batch(some, denominator, counted, shapes)
            for some in made
        ]

    return batches


def micro_batch(
    examples: Sequence[Feature],
    denominator: str,
    counted: Callable[[dict[str, np.ndarray]], float],
    *,
    pad: int,
    token_types: bool,
    heads: int | None,
    length: int | None,
) -> MicroBatch:
    """Return a micro-batch of no fixed shape: packed for a CPU where `heads` are given, else padded."""
    if heads:
        arrays = join(examples, token_types=token_types)
    else:
        arrays = collate(examples, pad, token_types=token_types, length=length)
    sizes = [len(example.ids) for example in examples]
    counts = {denominator: counted(arrays), "tokens": float(sum(sizes)), "sequences": float(len(examples))}
    tensors = to_tensors(arrays)
    return MicroBatch({**tensors, "packing": pack(sizes, heads)} if heads else tensors, counts)


def fixed_micro_batch(
    examples: Sequence[Feature],
    denominator: str,
    counted: Callable[[dict[str, np.ndarray]], float],
    shapes: FixedShapes,
    shape: Shape | None = None,
) -> MicroBatch:
    """Return a micro-batch in a run's shape (None: the cheapest that takes it), whose fill counts nowhere."""
    pieces = float(sum(len(example.ids) for example in examples))
    found = counted(join(examples, token_types=shapes.token_types))
    counts = {denominator: found, "tokens": pieces, "sequences": float(len(examples))}
    arrays = shapes.arrays(examples, shape)
    constants = {name: value for name, value in arrays.items() if not isinstance(value, np.ndarray)}
    tensors = to_tensors({name: value for name, value in arrays.items() if name not in constants})
    return MicroBatch(tensors | constants, counts, fixed=True)


def examples_of_shapes(
    features: Sequence[Feature],
    denominator: str,
    counted: Callable[[dict[str, np.ndarray]], float],
    shapes: FixedShapes,
) -> list[MicroBatch]:
    """Return a micro-batch of each shape, the largest first, by which passes are captured."""
    shortest = min(features, key=lambda feature: len(feature.ids))
    return [fixed_micro_batch([shortest], denominator, counted, shapes, shape) for shape in reversed(shapes.shapes)]


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
