"""What figures of several panels share: their grid, their legend, and a figure that has nothing to show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from compactbio.style import say_nothing_to_draw

_COLUMNS = 4  # panels side by side at most
_IN_A_LINE = 5  # entries of a legend at most


def panels(
    count: int,
    width: tuple[float, float],
    height: tuple[float, float],
    *,
    stacked: int = 1,
    least_width: float = 0.0,
    layout: Any = "constrained",
) -> tuple[Figure, np.ndarray]:
    """Return a figure and the panels of `count` subjects, [subjects, stacked]; the places that are left over are empty.

    Args:
        width, height: inches of the figure beside its panels, and of each panel.
        stacked: panels of a subject, one below the other.
        least_width: of the figure, inches.
        layout: as for matplotlib.
    """
    columns = min(_COLUMNS, max(1, count))
    rows = max(1, math.ceil(count / columns))
    size = (max(least_width, width[0] + width[1] * columns), height[0] + height[1] * rows * stacked)
    figure, axes = plt.subplots(rows * stacked, columns, figsize=size, squeeze=False, layout=layout)
    by_subject = axes.reshape(rows, stacked, columns).transpose(0, 2, 1).reshape(-1, stacked)
    for axis in by_subject[count:].flat:
        axis.set_visible(False)
    return figure, by_subject[:count]


def add_legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Add a legend below the panels."""
    figure.legend(handles=handles, loc="outside lower center", ncols=min(_IN_A_LINE, len(handles)))


def empty_figure(text: str) -> Figure:
    """Return a figure that says why it is empty."""
    figure, axis = plt.subplots(figsize=(6.0, 1.6), layout="constrained")
    say_nothing_to_draw(axis, text)
    axis.spines[:].set_visible(False)
    return figure
