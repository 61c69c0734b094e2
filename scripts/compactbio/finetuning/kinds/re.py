"""Relation extraction: a label for every sentence.

Entity markers such as @GENE$ or @DISEASE$ are plain text: the vocabulary splits them as it does any other
word ("@", "GE", "##NE", "$" in the cased one), as BioBERT does. No token is added, so the embedding table and
with it every comparison between models stays as published. The setting `added_tokens` makes each marker that it
lists one token of its own instead, whose embedding starts random and is learnt in fine-tuning alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from compactbio.finetuning.features import Feature, PieceTokenizer
from compactbio.finetuning.kinds.labelled import LabelledKind
from compactbio.finetuning.kinds.probabilities import softmax
from compactbio.finetuning.kinds.task_kind import Examples, Features
from compactbio.scoring.relations import score_relations
from compactbio.settings.runs import FinetuningRun, Options
from compactbio.tasks.rows import Rows

SPECIAL_PIECES = 2  # [CLS] and [SEP]


class RelationExtraction(LabelledKind):
    """Its features are sentences, one a row."""

    model_class = "AutoModelForSequenceClassification"

    def make_features(
        self, rows: Rows, gold: list[Any], tokenizer: PieceTokenizer, options: Options, *, has_answers: bool
    ) -> Features:
        """Return [CLS] sentence [SEP], the end of a sentence cut where it passes the maximal length."""
        room = options["max_length"] - SPECIAL_PIECES
        features = []
        truncated = 0
        for encoding, label in zip(tokenizer.encode_texts(rows["sentence"]), gold, strict=True):
            ids = encoding.ids
            truncated += len(ids) > room
            framed = np.asarray([tokenizer.cls, *ids[:room], tokenizer.sep], np.int64)
            features.append(Feature(framed, len(framed), {"labels": np.asarray(label, np.int64)}))
        return Features(features, None, {"truncated": truncated})

    def prediction_table(self, part: Examples, logits: Sequence[np.ndarray], labels: list[str]) -> pa.Table:
        """Return a row a sentence."""
        probabilities = [softmax(values) for values in logits]
        columns = {
            "fold": pa.array(part.rows["fold"], pa.int32()),
            "id": pa.array(part.rows["id"], pa.int32()),
            "gold": pa.array([labels[index] for index in part.gold], pa.string()),
            "predicted": pa.array([labels[int(values.argmax())] for values in probabilities], pa.string()),
            "probabilities": pa.array(probabilities, pa.list_(pa.float32())),
        }
        return pa.table(columns)

    def scores(self, settings: FinetuningRun, part: Examples, logits: Sequence[np.ndarray]) -> dict[str, float]:
        """Return the scores over the classes that count, all classes where the run file names none."""
        labels = settings["labels"]
        counted = settings.get("positive_labels") or labels
        predicted = [labels[int(values.argmax())] for values in logits]
        return score_relations([labels[index] for index in part.gold], predicted, counted)


KIND = RelationExtraction()
