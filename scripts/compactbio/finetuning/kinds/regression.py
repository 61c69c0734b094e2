"""Regression: one number for every text or pair of texts, by the squared error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from compactbio.finetuning.features import PieceTokenizer
from compactbio.finetuning.kinds.sequences import SequenceKind
from compactbio.finetuning.kinds.task_kind import Examples, Features
from compactbio.scoring.correlations import score_numbers
from compactbio.settings.runs import FinetuningRun, Options
from compactbio.tasks.rows import Rows


class Regression(SequenceKind):
    """Its features are texts or pairs, one a row, with its number in float32, and a one that rows of a fill lack."""

    texts = ("text", "pair")
    configuration = MappingProxyType({"num_labels": 1, "problem_type": "regression"})

    def make_features(
        self, rows: Rows, gold: list[Any], tokenizer: PieceTokenizer, options: Options, *, has_answers: bool
    ) -> Features:
        """Return the texts of rows with their numbers."""
        made = super().make_features(rows, rows["score"], tokenizer, options, has_answers=has_answers)
        features = [replace(one, targets={**one.targets, "counted": np.asarray(1, np.int64)}) for one in made.features]
        return replace(made, features=features)

    def target(self, gold: Any) -> np.ndarray:
        """Return the number of a row."""
        return np.asarray(gold, np.float32)

    def counted(self, arrays: Mapping[str, np.ndarray], class_weights: np.ndarray | None) -> float:
        """Return the number of texts."""
        return float(arrays["labels"].size)

    def summed_loss(self, logits: Tensor, tensors: Mapping[str, Any], class_weights: Tensor | None) -> Tensor:
        """Return the sum of the squared differences of predicted [texts, 1] and gold numbers."""
        errors = logits.reshape(-1) - tensors["labels"].reshape(-1)
        return errors.square().where(tensors["counted"].reshape(-1) == 1, 0.0).sum()

    def prediction_table(self, part: Examples, logits: Sequence[np.ndarray], labels: list[str]) -> pa.Table:
        """Return a row a text."""
        columns = {
            "fold": pa.array(part.rows["fold"], pa.int32()),
            "id": pa.array(part.rows["id"], pa.int32()),
            "gold": pa.array(part.rows["score"], pa.float64()),
            "predicted": pa.array(np.concatenate(logits), pa.float32()),
        }
        return pa.table(columns)

    def validation_metrics(
        self, settings: FinetuningRun, part: Examples, logits: Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Return `loss`, the mean squared error, and the correlations."""
        gold, predicted = np.asarray(part.rows["score"]), np.concatenate(logits)
        return {"loss": float(np.square(predicted - gold).mean())} | score_numbers(gold, predicted)


KIND = Regression()
