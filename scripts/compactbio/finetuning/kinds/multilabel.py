"""Multi-label classification: each label of a sentence is a yes or no of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from compactbio.finetuning.features import IGNORED
from compactbio.finetuning.kinds.sequences import SequenceKind
from compactbio.finetuning.kinds.task_kind import Examples
from compactbio.scoring.label_sets import of_ids, score_documents
from compactbio.settings.runs import FinetuningRun


class MultiLabel(SequenceKind):
    """Its features are sentences; the target is one int64 whose bit n is set where the sentence has label n."""

    texts = ("text",)
    configuration = MappingProxyType(
        {"problem_type": "multi_label_classification"}
    )  # transformers' pipelines take sigmoids then

    def target(self, gold: Any) -> np.ndarray:
        """Return the labels of a sentence as bits."""
        return np.asarray(sum(1 << label for label in set(gold)), np.int64)

    def counted(self, arrays: Mapping[str, np.ndarray], class_weights: np.ndarray | None) -> float:
        """Return the number of sentences."""
        return float(arrays["labels"].size)

    def summed_loss(self, logits: Tensor, tensors: Mapping[str, Any], class_weights: Tensor | None) -> Tensor:
        """Return the sum over sentences, a fill apart, of the mean binary cross-entropy of their labels."""
        sets, places = tensors["labels"].reshape(-1, 1), torch.arange(logits.shape[-1], device=logits.device)
        targets = ((sets >> places) & 1).to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(-1, keepdim=True)
        return losses.where(sets != IGNORED, 0.0).sum()

    def prediction_table(self, part: Examples, logits: Sequence[np.ndarray], labels: list[str]) -> pa.Table:
        """Return a row a sentence; it has each label whose probability is above one half."""

        def names(rows: Sequence[Sequence[int]]) -> pa.Array:
            return pa.array([[labels[index] for index in row] for row in rows], pa.list_(pa.string()))

        probabilities = [(1 / (1 + np.exp(-values.astype(np.float64)))).astype(np.float32) for values in logits]
        columns = {
            "id": pa.array(part.rows["id"], pa.int32()),
            "gold": names(part.gold),
            "predicted": names([np.flatnonzero(values > 0).tolist() for values in logits]),
            "probabilities": pa.array(probabilities, pa.list_(pa.float32())),
        }
        return pa.table(columns)

    def validation_metrics(
        self, settings: FinetuningRun, part: Examples, logits: Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Return `loss`, the mean over sentences and labels, and the scores of documents and sentences."""
        values, targets = torch.from_numpy(np.stack(logits)), [feature.targets["labels"] for feature in part.features]
        loss = float(self.summed_loss(values, {"labels": torch.from_numpy(np.stack(targets))}, None)) / len(targets)
        gold = of_ids(part.gold, len(settings["labels"]))
        return {"loss": loss} | score_documents(gold, np.stack(logits) > 0, part.rows["document"])


KIND = MultiLabel()
