"""Classification: a label for every text or pair of texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compactbio.finetuning.kinds.sequences import LabelledSequences
from compactbio.finetuning.kinds.task_kind import Examples
from compactbio.scoring.relations import score_texts
from compactbio.settings.runs import FinetuningRun


class Classification(LabelledSequences):
    """Its features are texts or pairs, one a row."""

    texts = ("text", "pair")

    def scores(self, settings: FinetuningRun, part: Examples, logits: Sequence[np.ndarray]) -> dict[str, float]:
        """Return accuracy and macro F1."""
        labels = settings["labels"]
        predicted = [labels[int(values.argmax())] for values in logits]
        return score_texts([labels[index] for index in part.gold], predicted)


KIND = Classification()
