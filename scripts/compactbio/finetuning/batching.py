"""Batches of training and prediction with little padding, and the gradients of plain shuffling.

Training: the examples of an epoch are shuffled by (seed, epoch) and cut into batches of `batch_size`, as plain
training does; the last, smaller batch is kept. Inside a batch the sequences are sorted by length and cut into
micro-batches, each padded to its own longest. The loop divides every micro-batch's sum by the count of the
whole batch, so that (dropout's draw aside) the gradient is the one of the batch as a whole: which examples
share an update is untouched by their lengths. Buckets over several batches would pad a little less, but put
sentences of one length into one update and, where the loss is a mean over pieces, weigh long sentences less.

The cut is the one with the least cost, where a micro-batch costs its padded pieces and a fixed number more for
being started: few on a CPU, so many that nearly nothing is cut on a GPU, which small batches leave idle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from compactbio.finetuning.features import IGNORED, Feature, collate
from compactbio.training.loop import MicroBatch

START_COST = {"cpu": 64, "cuda": 4096}  # pieces
PREDICTED_PIECES = {"cpu": 4096, "cuda": 65536}  # padded pieces of a prediction batch at most


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of the examples in an epoch (counted from 0), drawn by (seed, epoch) alone."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(count)


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return how many updates an epoch takes."""
    return -(-count // batch_size)


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


def training_batches(
    features: Sequence[Feature],
    count_name: str,
    *,
    batch_size: int,
    seed: int,
    pad: int,
    token_types: bool,
    device: str,
    class_weights: np.ndarray | None = None,
) -> Callable[[int], list[MicroBatch]]:
    """Return the function from a step (from 1) to its micro-batches, pure in (seed, step).

    Args:
        features: all training examples.
        count_name: the denominator to count: `pieces` counts labelled pieces, other names sequences.
        batch_size: examples of an update.
        seed: of the run.
        pad: id of the padding piece.
        token_types: whether the model takes token types.
        device: `cpu` or `cuda`, for the cost of a micro-batch.
        class_weights: float32 [classes]; what has a label counts by its class's then.
    """
    steps = steps_per_epoch(len(features), batch_size)
    lengths = np.asarray([len(feature.ids) for feature in features])

    def batches(step: int) -> list[MicroBatch]:
        epoch, index = divmod(step - 1, steps)
        order = epoch_order(len(features), seed, epoch)
        chosen = order[index * batch_size : (index + 1) * batch_size]
        chosen = chosen[np.argsort(lengths[chosen], kind="stable")]
        micro_batches = []
        for begin, end in cheapest_cuts(lengths[chosen].tolist(), START_COST[device]):
            arrays = collate([features[i] for i in chosen[begin:end]], pad, token_types=token_types)
            size = end - begin
            if class_weights is not None:
                counted = class_weights[arrays["labels"][arrays["labels"] != IGNORED]].sum(dtype=np.float64)
            else:
                counted = int((arrays["labels"] != IGNORED).sum()) if count_name == "pieces" else size
            counts = {
                count_name: float(counted),
                "tokens": float(lengths[chosen[begin:end]].sum()),
                "sequences": float(size),
            }
            micro_batches.append(MicroBatch(to_tensors(arrays), counts))
        return micro_batches

    return batches


def prediction_batches(features: Sequence[Feature], device: str) -> list[list[int]]:
    """Return indices of all features in batches of similar length, longest first (memory peaks at once)."""
    order = sorted(range(len(features)), key=lambda index: -len(features[index].ids))
    batches: list[list[int]] = []
    for index in order:
        longest = len(features[batches[-1][0]].ids) if batches else 0
        if not batches or (len(batches[-1]) + 1) * longest > PREDICTED_PIECES[device]:
            batches.append([])
        batches[-1].append(index)
    return batches


def to_tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Return a collated batch as tensors that share its memory."""
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
