"""Weights of the classes in the loss, for data in which some are rare."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compactbio.finetuning.features import IGNORED, Feature

BALANCED = "balanced"


def class_weights(
    setting: str | Sequence[float] | None, features: Sequence[Feature], classes: int
) -> np.ndarray | None:
    """Return a weight per class, float32 [classes], or None where all weigh the same.

    Args:
        setting: None, weights in the order of the labels, or `balanced`: n / (classes x n of the class) over the
            labelled pieces or sentences of `features`, so that all classes weigh the same in sum.
        features: of the training part.
        classes: how many labels there are; one that never occurs weighs 1.
    """
    if setting is None:
        return None
    if setting != BALANCED:
        return np.asarray(setting, np.float32)
    targets = np.concatenate([np.atleast_1d(feature.targets["labels"]) for feature in features])
    counts = np.bincount(targets[targets != IGNORED], minlength=classes)
    weights = counts.sum() / (classes * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 1.0).astype(np.float32)
