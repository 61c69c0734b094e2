"""Test rows that also stand in train: which they are, so that scores can be given without them too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compactbio.finetuning.task_data import Rows


def seen_in_train(train: Rows, test: Rows, task: str) -> np.ndarray:
    """Return bool [test rows]: the same words (ner), sentence (re), or question and context (qa) stand in train.

    prepare_task counts them by the same comparison as `also_in_train`. Training rows that a run sets aside for
    validation are not left out: they decide epochs and grids.
    """
    known = set(_contents(train, task))
    return np.fromiter((content in known for content in _contents(test, task)), bool, len(test))


def _contents(rows: Rows, task: str) -> Iterator[object]:
    """Yield what makes a row, labels and ids apart."""
    if task == "ner":
        return map(tuple, rows["words"])
    if task == "re":
        return iter(rows["sentence"])
    return zip(rows["question"], rows["context"], strict=True)
