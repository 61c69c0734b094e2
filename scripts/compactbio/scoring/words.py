"""Scores of words by the type of the entity that they are in, whichever words that entity is made of."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from compactbio.scoring.entities import Labels


def score_words(gold: Labels, predicted: Labels, types: Sequence[str]) -> float:
    """Return the unweighted mean over types of the F1 of their words, 0 for one that is neither gold nor predicted.

    So the PICO elements of EBM-NLP are scored (Nye et al. 2018, ACL). tests/unit/test_scoring_words.py compares it with
    scikit-learn's.
    """
    true, found = _types_of_words(gold, types), _types_of_words(predicted, types)
    scores = []
    for number in range(len(types)):
        right = int(((true == number) & (found == number)).sum())
        both = int((true == number).sum() + (found == number).sum())
        scores.append(2 * right / both if both else 0.0)
    return fmean(scores)


def _types_of_words(labels: Labels, types: Sequence[str]) -> np.ndarray:
    """Return for each word the place of its type in `types`, -1 outside of entities."""
    place = {name: number for number, name in enumerate(types)}
    of_names = np.array([place.get(name.partition("-")[2], -1) for name in labels.names], np.int64)
    return of_names[labels.codes]
