"""Test data that also stand in train: which they are, so that they are counted and scores are given without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np

from compactbio.kinds.kind import Kind, Leak
from compactbio.tasks.rows import Rows


def seen_in_train(train: Rows, test: Rows, leak: Leak) -> np.ndarray:
    """Return bool [test rows]: whose unit also stands in train.

    Training rows that a run sets aside for validation are not left out: they decide epochs and grids.
    """
    seen = np.zeros(len(test), bool)
    for key in leak.keys:
        known = set(_values(train, key, leak))
        seen |= np.fromiter((value in known for value in _values(test, key, leak)), bool, len(test))
    if leak.unit is None:
        return seen
    units = set(compress(test[leak.unit], seen))
    return np.fromiter((unit in units for unit in test[leak.unit]), bool, len(test))


def count_seen(train: Rows, test: Rows, kind: Kind) -> int:
    """Return how many units of test data also stand in train; of a kind with folds, the sum over its folds."""
    parts = [(train, test)]
    if kind.has_folds:
        parts = [(train.of_fold(fold), test.of_fold(fold)) for fold in dict.fromkeys(test["fold"])]
    count = 0
    for known, asked in parts:
        seen = seen_in_train(known, asked, kind.leak)
        count += int(seen.sum()) if kind.leak.unit is None else len(set(compress(asked[kind.leak.unit], seen)))
    return count


def _values(rows: Rows, key: Sequence[str], leak: Leak) -> Iterator[tuple[object, ...]]:
    """Yield what rows have in the columns of a key, as it is compared and as a set can hold it."""
    for values in zip(*(rows[column] for column in key), strict=True):
        yield tuple(
            "".join(value.casefold().split())
            if column in leak.loose
            else (tuple(value) if isinstance(value, list) else value)
            for column, value in zip(key, values, strict=True)
        )
