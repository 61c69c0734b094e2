"""Dot plots: every run of every model per dataset, by each protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.kinds.kind import STANDARD
from compactbio.reporting.figures.panels import panels
from compactbio.reporting.grouping import grouped
from compactbio.reporting.material import Material
from compactbio.reporting.score_cells import ScoreCells
from compactbio.scoring.score_rows import Score
from compactbio.style import LOOKS, PUBLISHED_COLOUR, QUIET, Look


def build(material: Material, protocol: str) -> Figure:
    """Return the dot plots of a protocol; a kind of task that lacks it is shown by the standard one."""
    return _draw_runs(material.scored, material.scores, protocol, material.looks)


def _draw_runs(scored: ScoreCells, scores: Sequence[Score], protocol: str, looks: Mapping[str, Look]) -> Figure:
    """Return a panel per dataset: every run a mark, the mean a bar, the published value a cross."""
    values = grouped(
        ((score.dataset, score.model, score.protocol), 100 * score.value)
        for score in scores
        if score.metric == KINDS[score.task].headline
    )
    names = [name for task in KINDS for name in scored.datasets_of(task)]
    figure, axes = panels(len(names), (1.6, 2.6), (0.5, 1.2 + 0.24 * len(scored.models)))
    any_published = False
    for name, axis in zip(names, axes.flat, strict=True):
        used = protocol if protocol in KINDS[scored.datasets[name]].protocol_names else STANDARD
        any_published |= _draw_dataset(axis, name, used, scored, values, looks)
        is_first = axis.get_subplotspec().is_first_col()
        axis.set_yticks(range(len(scored.models)), scored.models if is_first else [])
    handles = group_handles(looks.values())
    handles.append(Line2D([], [], color="#555555", marker="|", ls="", ms=11, mew=1.8, label="mean"))
    if any_published:
        label = "published" if protocol == STANDARD else "published (paper)"
        handles.append(Line2D([], [], color=PUBLISHED_COLOUR, marker="x", ls="", ms=6.5, mew=1.4, label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_dataset(
    axis: Axes,
    dataset: str,
    protocol: str,
    scored: ScoreCells,
    values: Mapping[tuple[str, str, str], Sequence[float]],
    looks: Mapping[str, Look],
) -> bool:
    """Draw one dataset's runs and return whether a published value is among them."""
    metric = KINDS[scored.datasets[dataset]].headline
    published = False
    for row, model in enumerate(scored.models):
        cell = scored.cell(dataset, model, protocol, metric)
        runs = values.get((dataset, model, protocol), [])
        look = looks[model]
        axis.plot(runs, [row] * len(runs), look.marker, ms=4.5, mfc="none", mec=look.colour, mew=1.0, alpha=0.85)
        if cell.mean is None:
            axis.annotate(cell.reason, (0.98, row), xycoords=("axes fraction", "data"), ha="right", va="center")
            axis.texts[-1].set(color=QUIET, fontsize=7.5, style="italic")
        else:
            axis.plot([cell.mean], [row], "|", color=look.colour, ms=12, mew=1.8)
        if cell.published:
            axis.plot([cell.published.value], [row], "x", color=PUBLISHED_COLOUR, ms=6.5, mew=1.4)
            published = True
    axis.set_ylim(len(scored.models) - 0.4, -0.6)
    axis.set_title(dataset)
    axis.set_xlabel(f"{METRIC_TITLES[metric]}, % ({protocol})")
    axis.margins(x=0.08)
    axis.tick_params(axis="y", length=0)
    return published


def group_handles(looks: Iterable[Look]) -> list[Line2D]:
    """Return legend handles of the groups that occur, in the order of `LOOKS`."""
    present = set(looks)
    return [
        Line2D([], [], color=look.colour, marker=look.marker, ls="", ms=5.5, label=look.label)
        for look in LOOKS.values()
        if look in present
    ]
