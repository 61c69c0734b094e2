"""Running a trained model over features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from accelerate import Accelerator

from compactbio.finetuning.batching import prediction_batches, to_tensors
from compactbio.finetuning.features import Feature, collate
from compactbio.finetuning.steps import TaskStep


def predict_logits(step: TaskStep, features: Sequence[Feature], pad: int, accelerator: Accelerator) -> list[np.ndarray]:
    """Return the head's output per feature, float32 without padding, in the order of `features`.

    ner [length, labels], re [labels], qa [length, 2]. The model is left in evaluation mode.
    """
    step.eval()
    device = accelerator.device
    token_types = step.token_types
    results: list[np.ndarray | None] = [None] * len(features)
    with torch.inference_mode():
        for chosen in prediction_batches(features, device.type):
            arrays = collate([features[index] for index in chosen], pad, token_types=token_types)
            tensors = {name: value.to(device) for name, value in to_tensors(arrays).items()}
            with accelerator.autocast():
                logits = step.logits(tensors)
            logits = logits.float().cpu().numpy()
            for row, index in enumerate(chosen):
                length = len(features[index].ids)
                results[index] = logits[row] if logits.ndim == 2 else logits[row, :length].copy()
    return results
