"""Correlations against scipy's, and their sums where nothing varies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from compactbio.scoring.correlations import count_numbers, score_numbers


@pytest.mark.parametrize(("level", "spread"), [(0.0, 1.0), (1000.0, 0.5), (-3.0, 1e-3)])
def test_both_are_scipy_s(level: float, spread: float) -> None:
    draw = np.random.default_rng(1)
    gold = np.round(draw.normal(2, 1, 60), 1)  # with ties
    predicted = (level + spread * (gold + draw.normal(size=60))).astype(np.float32)
    found = score_numbers(gold, predicted)
    assert found["pearson"] == pytest.approx(pearsonr(gold, predicted.astype(float)).statistic, abs=1e-7)
    assert found["spearman"] == pytest.approx(spearmanr(gold, predicted).statistic, abs=1e-12)
    assert score_numbers(gold, -gold) == pytest.approx({"pearson": -1.0, "spearman": -1.0})


def test_without_a_difference_there_is_no_correlation() -> None:
    gold, same = np.array([1.0, 2.0, 3.0]), np.full(3, 0.1, np.float32)
    assert score_numbers(gold, same) == score_numbers(same, gold) == {"pearson": 0.0, "spearman": 0.0}
    assert score_numbers(gold[:1], same[:1]) == score_numbers(gold[:0], same[:0]) == {"pearson": 0.0, "spearman": 0.0}


def test_counts_by_hand() -> None:
    assert count_numbers(np.array([2.0]), np.array([3.0])).tolist() == [[1, 2, 3, 4, 9, 6]]
