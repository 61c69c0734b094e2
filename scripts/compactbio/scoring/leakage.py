"""Test rows that also stand in train: which they are, so that scores can be given without them too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from compactbio.tasks.rows import Rows


def seen_in_train(train: Rows, test: Rows, content: Sequence[str]) -> np.ndarray:
    """Return bool [test rows]: which rows have in the columns of their content what some row of train has.

    prepare_task counts them by the same comparison as `also_in_train`. Training rows that a run sets aside for
    validation are not left out: they decide epochs and grids.
    """
    known = set(_contents(train, content))
    return np.fromiter((row in known for row in _contents(test, content)), bool, len(test))


def _contents(rows: Rows, content: Sequence[str]) -> Iterator[tuple[object, ...]]:
    """Yield what makes a row, labels and ids apart."""
    for values in zip(*(rows[column] for column in content), strict=True):
        yield tuple(tuple(value) if isinstance(value, list) else value for value in values)
