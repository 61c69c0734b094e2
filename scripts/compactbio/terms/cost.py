"""Floating-point operations by what they are proportional to."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Cost:
    """FLOPs (a multiplication and an addition are two) by what they are proportional to."""

    token: float = 0.0
    pair: float = 0.0  # of a query and a key of one sequence
    masked_row: float = 0.0  # a masked position, which the language-model head sees
    masked_pair: float = 0.0  # of a masked position's query and a key of its sequence

    def flops(self, lengths: np.ndarray, masked: np.ndarray) -> float:
        """Return the FLOPs for sequences of these lengths with these numbers of masked positions.

        Lengths are those of the real tokens: padding is a waste, which a utilisation must show, not count as work.
        """
        lengths, masked = lengths.astype("int64"), masked.astype("int64")
        return (
            self.token * float(lengths.sum())
            + self.pair * float((lengths**2).sum())
            + self.masked_row * float(masked.sum())
            + self.masked_pair * float((masked * lengths).sum())
        )

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def times(self, factor: float) -> Cost:
        """Return the cost of doing it `factor` times."""
        return Cost(*(factor * value for value in astuple(self)))
