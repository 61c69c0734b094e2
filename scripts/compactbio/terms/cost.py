"""Floating-point operations by what they are proportional to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    near_pair: Mapping[int, float] = field(default_factory=dict)  # of a query and a key at most so many tokens away

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
            + sum(each * float(near_pairs(lengths, reach).sum()) for reach, each in self.near_pair.items())
        )

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.token + other.token,
            self.pair + other.pair,
            self.masked_row + other.masked_row,
            self.masked_pair + other.masked_pair,
            {
                reach: self.near_pair.get(reach, 0.0) + other.near_pair.get(reach, 0.0)
                for reach in {**self.near_pair, **other.near_pair}
            },
        )

    def times(self, factor: float) -> Cost:
        """Return the cost of doing it `factor` times."""
        return Cost(
            factor * self.token,
            factor * self.pair,
            factor * self.masked_row,
            factor * self.masked_pair,
            {reach: factor * each for reach, each in self.near_pair.items()},
        )


def near_pairs(lengths: np.ndarray, reach: int) -> np.ndarray:
    """Return how many pairs of tokens sequences of these lengths have that are at most `reach` tokens apart."""
    away = (lengths - 1).clip(0, reach)  # n - d pairs are d apart, on each side
    return lengths + away * (2 * lengths - away - 1)
