"""Scores of sets of labels: of sentences, and of documents, which have every label of their sentences.

By hand, as those of relations; tests/programs/test_text_kinds.py compares them with scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def of_ids(rows: Sequence[Sequence[int]], labels: int) -> np.ndarray:
    """Return bool [rows, labels], which labels each row has, from their ids."""
    found = np.zeros((len(rows), labels), bool)
    for row, ids in enumerate(rows):
        found[row, list(ids)] = True
    return found


def of_documents(rows: np.ndarray, documents: Sequence[str]) -> np.ndarray:
    """Return bool [documents, labels], the union over the rows [rows, labels] of each, in order of first occurrence."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(documents))}
    joined = np.zeros((len(numbers), rows.shape[1]), bool)
    np.logical_or.at(joined, [numbers[name] for name in documents], rows)
    return joined


def count_labels(gold: np.ndarray, predicted: np.ndarray, axis: int) -> np.ndarray:
    """Return int64 [labels, 3] (axis 0) or [rows, 3] (axis 1): labels rightly predicted, predicted, gold."""
    return np.stack([(gold & predicted).sum(axis), predicted.sum(axis), gold.sum(axis)], axis=-1)


def scores_of_counts(counts: np.ndarray) -> dict[str, float]:
    """Return precision, recall and f1 of counts [3] as `count_labels` has them; 0 where undefined."""
    right, found, true = map(int, counts)
    return {
        "precision": right / found if found else 0.0,
        "recall": right / true if true else 0.0,
        "f1": 2 * right / (true + found) if true + found else 0.0,
    }


def score_sets(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return precision, recall and f1 over all rows and labels, macro_f1 over labels; given are bool [rows, labels]."""
    counts = count_labels(gold, predicted, 0)
    macro = float(np.mean([scores_of_counts(one)["f1"] for one in counts]))
    return scores_of_counts(counts.sum(0)) | {"macro_f1": macro}


def score_documents(gold: np.ndarray, predicted: np.ndarray, documents: Sequence[str]) -> dict[str, float]:
    """Return the scores of documents, and those of their sentences (bool [sentences, labels]) as `sentence_`."""
    of_sentences = {f"sentence_{name}": value for name, value in score_sets(gold, predicted).items()}
    return score_sets(of_documents(gold, documents), of_documents(predicted, documents)) | of_sentences
