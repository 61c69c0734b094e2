"""The paper's values against the replication's: a panel per dataset with the diagonal on which they are equal."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.kinds.kind import REFERENCE
from compactbio.reporting.figures.panels import add_legend, empty_figure, panels
from compactbio.reporting.grouping import grouped
from compactbio.reporting.material import Material
from compactbio.reporting.render import signed
from compactbio.reporting.score_cells import ScoreCells
from compactbio.style import line_looks

_NOTHING = (
    "No cell of this run has a confirmed value of the paper by the reference protocol:\n"
    "nothing is compared with it here."
)


def build(material: Material) -> Figure:
    """Return the figure; without a pair it says so in words."""
    return draw_agreement(material.scored)


class Pair(NamedTuple):
    """A value of the paper and our mean of the same cell with its standard deviation, percent."""

    model: str
    paper: float
    ours: float
    std: float | None


def compared_cells(scored: ScoreCells) -> dict[str, list[Pair]]:
    """Return by dataset the cells of the headline metric that are compared with the paper, in the models' order."""
    return grouped(
        (dataset, Pair(model, cell.published.value, cell.mean, cell.std))
        for dataset, task in scored.datasets.items()
        for model in scored.models
        if (cell := scored.cells.get((dataset, model, REFERENCE, KINDS[task].headline)))
        and (cell.published and cell.published.is_comparable and cell.mean is not None)
    )


def draw_agreement(scored: ScoreCells) -> Figure:
    """Return the figure: published across, ours upwards with the standard deviation over the runs."""
    compared = compared_cells(scored)
    if not compared:
        return empty_figure(_NOTHING)
    layout = ConstrainedLayoutEngine(h_pad=0.08)
    figure, axes = panels(len(compared), (0.0, 3.1), (0.5, 3.2), least_width=6.0, layout=layout)
    looks = line_looks(scored.models)
    for axis, (dataset, pairs) in zip(axes.flat, compared.items(), strict=True):
        for pair in pairs:
            look = looks[pair.model]
            error = None if pair.std is None else [pair.std]
            style = {"fmt": look["marker"], "color": look["color"], "mfc": "none", "ms": 6}
            axis.errorbar([pair.paper], [pair.ours], error, elinewidth=1.0, capsize=2.5, label=pair.model, **style)
        _frame(axis, pairs)
        axis.set_title(dataset)
        metric = METRIC_TITLES[KINDS[scored.datasets[dataset]].headline]
        axis.set_xlabel(f"paper, {metric} %")
        axis.set_ylabel(f"this run, {metric} %")
    shown = {pair.model for pairs in compared.values() for pair in pairs}
    handles = [
        Line2D([], [], ls="", marker=looks[model]["marker"], color=looks[model]["color"], mfc="none", label=model)
        for model in scored.models
        if model in shown
    ]
    handles.append(Line2D([], [], color="#999999", lw=1.0, label="equal"))
    add_legend(figure, handles)
    return figure


def _frame(axis: Axes, pairs: Sequence[Pair]) -> None:
    """Give both axes one range, draw the diagonal and say how far the points lie from it on average."""
    ends = [pair.paper for pair in pairs]
    ends += [pair.ours + sign * (pair.std or 0.0) for pair in pairs for sign in (-1, 1)]
    margin = max(0.08 * (max(ends) - min(ends)), 0.2)
    low, high = min(ends) - margin, max(ends) + margin
    axis.plot([low, high], [low, high], color="#999999", lw=1.0, zorder=1)
    axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    mean = fmean(pair.ours - pair.paper for pair in pairs)
    axis.set_title(f"mean {signed(mean, 1)} points", loc="right", fontsize=7.5, fontweight="normal")
