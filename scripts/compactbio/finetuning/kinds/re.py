"""Relation extraction: a label for every sentence.

Entity markers such as @GENE$ or @DISEASE$ are plain text: the vocabulary splits them as it does any other
word ("@", "GE", "##NE", "$" in the cased one), as BioBERT does. No token is added, so the embedding table and
with it every comparison between models stays as published. The setting `added_tokens` makes each marker that it
lists one token of its own instead, whose embedding starts random and is learnt in fine-tuning alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from compactbio.finetuning.kinds.sequences import LabelledSequences
from compactbio.finetuning.kinds.task_kind import Examples
from compactbio.scoring.relations import score_relations
from compactbio.settings.runs import FinetuningRun


class RelationExtraction(LabelledSequences):
    """Its features are sentences, one a row."""

    texts = ("sentence",)

    def prediction_table(self, part: Examples, logits: Sequence[np.ndarray], labels: list[str]) -> pa.Table:
        """Return a row a sentence, with its fold."""
        table = super().prediction_table(part, logits, labels)
        return table.append_column("fold", pa.array(part.rows["fold"], pa.int32()))

    def scores(self, settings: FinetuningRun, part: Examples, logits: Sequence[np.ndarray]) -> dict[str, float]:
        """Return the scores over the classes that count, all classes where the run file names none."""
        labels = settings["labels"]
        counted = settings.get("positive_labels") or labels
        predicted = [labels[int(values.argmax())] for values in logits]
        return score_relations([labels[index] for index in part.gold], predicted, counted)


KIND = RelationExtraction()
