"""Correlations of predicted with gold numbers.

By hand: scipy.stats takes a second to import, and Pearson's is a function of the sums that comparisons resample.
tests/unit/test_scoring_correlations.py compares both with scipy's.
"""

from __future__ import annotations

import numpy as np

from compactbio.kinds.counts import pearson


def count_numbers(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return float64 [rows, 6]: 1, gold and predicted number, their squares and their product."""
    x, y = gold.astype(np.float64), predicted.astype(np.float64)
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def score_numbers(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return pearson and spearman, 0 where one of the two is constant."""
    pairs = {"pearson": (gold, predicted), "spearman": (_ranks(gold), _ranks(predicted))}
    return {name: float(pearson(count_numbers(*pair).sum(axis=0))) for name, pair in pairs.items()}


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 1, equal values the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]
