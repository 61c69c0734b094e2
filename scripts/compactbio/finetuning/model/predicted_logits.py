"""The logits of a trained model, feature by feature."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from accelerate import Accelerator

from compactbio.finetuning.features import Feature, collate
from compactbio.finetuning.model.task_step import TaskStep
from compactbio.finetuning.packed.batching import prediction_micro_batches, to_tensors

LENGTH_MULTIPLE = 32  # of padded sequences on a GPU


def predict_logits(
    step: TaskStep, features: Sequence[Feature], pad: int, accelerator: Accelerator, length: int | None = None
) -> list[np.ndarray]:
    """Return the head's output per feature, as `in_micro_batches`. The model is left in evaluation mode."""
    step.eval()
    device = accelerator.device

    def logits_of(arrays: dict[str, np.ndarray]) -> np.ndarray:
        tensors = {name: value.to(device) for name, value in to_tensors(arrays).items()}
        with accelerator.autocast():
            logits = step.logits(tensors)
        return logits.float().cpu().numpy()

    with torch.inference_mode():
        return in_micro_batches(
            logits_of, features, pad, token_types=step.token_types, device=device.type, length=length
        )


def in_micro_batches(
    logits_of: Callable[[dict[str, np.ndarray]], np.ndarray],
    features: Sequence[Feature],
    pad: int,
    *,
    token_types: bool,
    device: str,
    length: int | None = None,
) -> list[np.ndarray]:
    """Return a model's output per feature, float32, in the order of `features`.

    Each is [pieces, ...], or [...] where the head reads first tokens.

    Args:
        logits_of: from a collated micro-batch to the head's output with padding, float32 [batch, ...].
        device: `cpu` or `cuda`, for the size of the micro-batches.
        length: that all are padded to, and whose output is returned with its padding; None: it is without padding.
    """
    results: list[np.ndarray] = [np.empty(0)] * len(features)
    longest = max((len(feature.ids) for feature in features), default=0)
    for chosen in prediction_micro_batches(features, device, length):
        padded = length or (None if device == "cpu" else repeated_length(len(features[chosen[0]].ids), longest))
        arrays = collate([features[index] for index in chosen], pad, token_types=token_types, length=padded)
        logits = logits_of(arrays)
        for row, index in enumerate(chosen):
            pieces = length or len(features[index].ids)
            results[index] = logits[row] if logits.ndim == 2 else logits[row, :pieces].copy()
    return results


def repeated_length(length: int, longest: int) -> int:
    """Return the length that a GPU's micro-batch is padded to, one of few, so that its memory is used again."""
    return min(math.ceil(length / LENGTH_MULTIPLE) * LENGTH_MULTIPLE, longest)
