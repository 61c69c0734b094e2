"""Relation extraction: precision, recall and F1 over the classes that count."""

from __future__ import annotations

from collections.abc import Sequence


def score_relations(gold: Sequence[str], predicted: Sequence[str], positive_labels: Sequence[str]) -> dict[str, float]:
    """Return precision, recall and f1, micro-averaged over `positive_labels`; fractions, 0 where undefined.

    One positive class (GAD): these are that class's own. Several (ChemProt): macro_precision, macro_recall and
    macro_f1, unweighted means over the classes, are returned as well. A label outside `positive_labels`
    predicted for a positive example lowers recall, the other way round precision; agreement on it counts nothing.
    """
    from sklearn.metrics import precision_recall_fscore_support

    scores = {}
    for prefix, average in (("", "micro"), ("macro_", "macro")):
        if prefix and len(positive_labels) == 1:
            continue
        precision, recall, f1, _ = precision_recall_fscore_support(
            gold, predicted, labels=list(positive_labels), average=average, zero_division=0
        )
        scores |= {
            f"{prefix}precision": float(precision),
            f"{prefix}recall": float(recall),
            f"{prefix}f1": float(f1),
        }
    return scores
