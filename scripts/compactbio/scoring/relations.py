"""One label a text: precision, recall and F1 over the classes that count, accuracy and macro F1.

By hand: scikit-learn takes a second to import for six sums. tests/unit/test_scoring_relations.py compares the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from compactbio.kinds.kind import SUPPORT


def score_relations(gold: Sequence[str], predicted: Sequence[str], positive_labels: Sequence[str]) -> dict[str, float]:
    """Return precision, recall and f1, micro-averaged over `positive_labels`; fractions, 0 where undefined.

    One positive class (GAD): these are that class's own. Several (ChemProt): macro_precision, macro_recall and
    macro_f1, unweighted means over the classes, are returned as well; classes that no gold label is of are left
    out of these means, since their recall is undefined, and predicting them lowers the other classes' recall and the
    micro average's precision. A label outside `positive_labels` predicted for a positive example lowers recall, the
    other way round precision; agreement on it counts nothing. Where `positive_labels` are all labels (ChemProt-13),
    the micro averages are one number, the accuracy.
    """
    classes = _counts(gold, predicted, positive_labels)
    scores = _scores(*map(sum, zip(*classes, strict=True)))
    if len(classes) == 1:
        return scores
    each = [_scores(*counts) for counts in classes if counts[0]] or [_scores(0, 0, 0)]
    return scores | {f"macro_{name}": fmean(one[name] for one in each) for name in scores}


def score_classes(
    gold: Sequence[str], predicted: Sequence[str], positive_labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return precision, recall, f1 and support (the gold examples) of each of `positive_labels`; 0 where undefined."""
    counts = _counts(gold, predicted, positive_labels)
    return {label: _scores(*one) | {SUPPORT: one[0]} for label, one in zip(positive_labels, counts, strict=True)}


def score_texts(gold: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """Return accuracy, and macro_f1 over the labels that are gold or predicted, as scikit-learn's; 0 without texts."""
    classes = _counts(gold, predicted, sorted({*gold, *predicted}))
    right = sum(counts[2] for counts in classes)
    macro = fmean(_scores(*counts)["f1"] for counts in classes) if classes else 0.0
    return {"accuracy": right / len(gold) if gold else 0.0, "macro_f1": macro}


def count_relations(gold: Sequence[str], predicted: Sequence[str], positive_labels: Sequence[str]) -> np.ndarray:
    """Return int64 [examples, 3], each 0 or 1: a positive label rightly predicted, one predicted, a gold one."""
    positive = set(positive_labels)
    rows = [
        (found in positive and found == true, found in positive, true in positive)
        for true, found in zip(gold, predicted, strict=True)
    ]
    return np.array(rows, np.int64).reshape(-1, 3)


def _counts(gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> list[tuple[int, int, int]]:
    """Return how many examples of each label are gold, predicted, and rightly predicted."""
    # Counted here and not by scikit-learn, whose import would be a third of a fine-tuning's start.
    true, found = Counter(gold), Counter(predicted)
    right = Counter(label for label, other in zip(gold, predicted, strict=True) if label == other)
    return [(true[label], found[label], right[label]) for label in labels]


def _scores(true: int, found: int, right: int) -> dict[str, float]:
    """Return the scores of counts: gold, predicted, and rightly predicted examples."""
    return {
        "precision": right / found if found else 0.0,
        "recall": right / true if true else 0.0,
        "f1": 2 * right / (true + found) if true + found else 0.0,
    }
