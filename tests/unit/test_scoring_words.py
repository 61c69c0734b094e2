"""Scores of words by type: those of scikit-learn, whatever the entities are."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from sklearn.metrics import f1_score

from compactbio.scoring.entities import labels_of_column
from compactbio.scoring.words import score_words

TYPES = ["PAR", "INT", "OUT"]


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_over_types_is_scikit_learn_s(seed: int) -> None:
    draw = random.Random(seed)
    names = ["O", *(f"{tag}-{name}" for tag in "BI" for name in TYPES[: 2 + seed % 2])]  # the third may be missing
    sizes = [draw.randint(1, 9) for _ in range(20)]
    gold, predicted = ([draw.choices(names, k=size) for size in sizes] for _ in range(2))
    found = score_words(*(labels_of_column(pa.array(rows)) for rows in (gold, predicted)), TYPES)
    words = [[name.partition("-")[2] or "O" for row in rows for name in row] for rows in (gold, predicted)]
    assert found == pytest.approx(f1_score(*words, labels=TYPES, average="macro", zero_division=0.0))


def test_by_hand() -> None:
    """PAR: 1 of 2 gold found, none wrong, F1 2/3; INT: 1 of 1 found, and 1 wrong, F1 2/3; OUT: 0."""
    gold = labels_of_column(pa.array([["B-PAR", "I-PAR", "B-INT"], ["O"]]))
    predicted = labels_of_column(pa.array([["I-PAR", "B-INT", "I-INT"], ["O"]]))
    assert score_words(gold, predicted, TYPES) == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
