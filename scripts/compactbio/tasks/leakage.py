"""Test data that also stand in train: which they are, so that they are counted and scores are given without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from compactbio.kinds.kind import Kind, Leak

Table = Mapping[str, Sequence[Any]]  # columns of equal length, such as `Rows.columns`


def seen_in_train(train: Table, test: Table, leak: Leak) -> np.ndarray:
    """Return bool [test rows]: whose unit also stands in train.

    Training rows that a run sets aside for validation are not left out: they decide epochs and grids.
    """
    count = len(test[leak.columns[0]])
    seen = np.zeros(count, bool)
    for key in leak.keys:
        known = set(_values(train, key, leak))
        seen |= np.fromiter((value in known for value in _values(test, key, leak)), bool, count)
    if leak.unit is None:
        return seen
    units = {unit for unit, shared in zip(test[leak.unit], seen, strict=True) if shared}
    return np.fromiter((unit in units for unit in test[leak.unit]), bool, count)


def count_seen(train: Table, test: Table, kind: Kind) -> int:
    """Return how many units of test data also stand in train; of a kind with folds, the sum over its folds."""
    if not kind.has_folds:
        return _count(train, test, kind.leak)
    return sum(_count(_of_fold(train, fold), _of_fold(test, fold), kind.leak) for fold in dict.fromkeys(test["fold"]))


def _count(train: Table, test: Table, leak: Leak) -> int:
    """Return how many units of test data also stand in train."""
    seen = seen_in_train(train, test, leak)
    if leak.unit is None:
        return int(seen.sum())
    return len({unit for unit, shared in zip(test[leak.unit], seen, strict=True) if shared})


def _of_fold(table: Table, fold: int) -> Table:
    """Return the rows of a fold."""
    chosen = [index for index, value in enumerate(table["fold"]) if value == fold]
    return {name: [values[index] for index in chosen] for name, values in table.items()}


def _values(table: Table, key: Sequence[str], leak: Leak) -> Iterator[tuple[object, ...]]:
    """Yield what rows have in the columns of a key, as it is compared."""
    for values in zip(*(table[column] for column in key), strict=True):
        yield tuple(
            "".join(value.casefold().split()) if column in leak.loose else _hashable(value)
            for column, value in zip(key, values, strict=True)
        )


def _hashable(value: object) -> object:
    """Return a value that a set can hold."""
    return tuple(value) if isinstance(value, list) else value
