"""What is counted in each test example, and headline metrics as functions of sums of it, which resampling rests on.

numpy comes with the first call. Arrays hold the sums in their last axis, any number of others before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

CONSTANT = 1e-12  # of a mean square: a variance below this share of it is none, since predictions are in float32


def ratio(sums: np.ndarray) -> np.ndarray:
    """Return the first of two sums divided by the second, 0 where that is 0."""
    import numpy as np

    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] != 0)


def pearson(sums: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of x and y from the sums of 1, x, y, x x, y y and x y; 0 where one is constant."""
    import numpy as np

    number, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    squares = np.stack([number * xx, number * yy])
    spread = squares - np.square([x, y])
    varies = (spread > CONSTANT * squares).all(axis=0)
    product = np.sqrt(np.where(varies, spread.prod(axis=0), 1.0))
    return np.where(varies, np.clip((number * xy - x * y) / product, -1.0, 1.0), 0.0)


@dataclass(frozen=True)
class Counts:
    """What is counted in each test example; the headline metric is a function of sums of these counts.

    Attributes:
        columns: name to type, in the order of the counts' array.
        parts: what is summed, each a count to a factor; an empty one is the number of examples.
        gold: the count whose sum must be the same for all models; None: the number of examples.
        headline: the metric of the sums of the parts.
        precision: of these sums; a metric of differences between them needs more than float32.
    """

    columns: Mapping[str, str]
    parts: tuple[Mapping[str, int], ...]
    gold: str | None
    headline: Callable[[np.ndarray], np.ndarray] = ratio
    precision: str = "float32"


# Entities, or sentences with a positive label: F1 is 2 x correct / (predicted + gold).
F1_COUNTS = Counts(
    columns={"correct": "int32", "predicted": "int32", "gold": "int32"},
    parts=({"correct": 2}, {"predicted": 1, "gold": 1}),
    gold="gold",
)
# Pairs of gold and predicted values.
PEARSON_COUNTS = Counts(
    columns={
        "pairs": "int32",
        **dict.fromkeys(("gold_sum", "predicted_sum", "gold_squares", "predicted_squares", "products"), "float64"),
    },
    parts=tuple(
        {name: 1} for name in ("pairs", "gold_sum", "predicted_sum", "gold_squares", "predicted_squares", "products")
    ),
    gold="pairs",
    headline=pearson,
    precision="float64",
)
