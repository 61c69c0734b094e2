"""Kinds of task that give each piece or sequence one label: loss, weights of the classes, validation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from compactbio.finetuning.features import IGNORED, Feature
from compactbio.finetuning.kinds.probabilities import cross_entropies
from compactbio.finetuning.kinds.task_kind import Examples, TaskKind
from compactbio.settings.runs import FinetuningRun

BALANCED = "balanced"


class LabelledKind(TaskKind):
    """A kind whose features have the target `labels`: int64 [length], or a scalar; IGNORED counts in no loss."""

    def class_weights(
        self, setting: str | Sequence[float] | None, features: Sequence[Feature], classes: int
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
        targets = _targets(features)
        counts = np.bincount(targets[targets != IGNORED], minlength=classes)
        weights = counts.sum() / (classes * np.maximum(counts, 1))
        return np.where(counts > 0, weights, 1.0).astype(np.float32)

    def counted(self, arrays: Mapping[str, np.ndarray], class_weights: np.ndarray | None) -> float:
        """Return how many labels count, each by its class's weight where there are weights."""
        labels = arrays["labels"][arrays["labels"] != IGNORED]
        return float(labels.size if class_weights is None else class_weights[labels].sum(dtype=np.float64))

    def summed_loss(self, logits: Tensor, tensors: Mapping[str, Any], class_weights: Tensor | None) -> Tensor:
        """Return the sum of the cross-entropies, each by its class's weight where there are weights."""
        return F.cross_entropy(
            logits.reshape(-1, logits.shape[-1]),
            tensors["labels"].reshape(-1),
            weight=class_weights,
            ignore_index=IGNORED,
            reduction="sum",
        )

    def validation_metrics(
        self, settings: FinetuningRun, part: Examples, logits: Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Return `loss` (mean over labelled pieces or sentences, unweighted) and the standard protocol's scores."""
        targets = _targets(part.features)
        values = np.concatenate([np.atleast_2d(row) for row in logits])
        counted = targets != IGNORED
        loss = float(cross_entropies(values[counted], targets[counted]).mean())
        return {"loss": loss} | self.scores(settings, part, logits)

    @abstractmethod
    def scores(self, settings: FinetuningRun, part: Examples, logits: Sequence[np.ndarray]) -> dict[str, float]:
        """Return the scores of the standard protocol."""


def _targets(features: Sequence[Feature]) -> np.ndarray:
    """Return the labels of all features joined."""
    return np.concatenate([np.atleast_1d(feature.targets["labels"]) for feature in features])
