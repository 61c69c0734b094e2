"""Figures: every run of every model per dataset, and score against number of parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no display is needed

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from compactbio.reporting.cells import Results
from compactbio.reporting.metrics import (
    COUNTS,
    HEADLINE,
    METRIC_TITLES,
    PROTOCOLS,
    REFERENCE,
    STANDARD,
    TASK_SHORT,
    TASK_TITLES,
)
from compactbio.reporting.style import LOOKS, PARAMETERS, PUBLISHED_COLOUR, Look, save_figure
from compactbio.reporting.summary import averages
from compactbio.scoring.tables import Score

_COLUMNS = 4  # panels side by side at most
FIGURES = ("scores", "scores_standard", "score_by_parameters")


def draw_figures(
    folder: Path,
    results: Results,
    scores: Sequence[Score],
    parameters: Mapping[str, int],
    groups: Mapping[str, str],
) -> list[Path]:
    """Write all figures as SVG and PNG into a folder and return their paths.

    Args:
        parameters: encoder parameters by model; models without are left out of the second kind of figure.
        groups: group of each model, a key of `LOOKS`.
    """
    looks = {model: LOOKS[groups.get(model, "given")] for model in results.models}
    if results.baseline in looks:
        looks[results.baseline] = LOOKS["baseline"]
    paths = []
    with plt.rc_context(PARAMETERS):
        for name, protocol in (("scores", REFERENCE), ("scores_standard", STANDARD)):
            figure = _draw_runs(results, scores, protocol, looks)
            paths += save_figure(figure, folder, name)
            plt.close(figure)
        figure = _draw_parameters(results, parameters, looks)
        paths += save_figure(figure, folder, "score_by_parameters")
        plt.close(figure)
    return paths


def _draw_runs(results: Results, scores: Sequence[Score], protocol: str, looks: Mapping[str, Look]) -> Figure:
    """Return a panel per dataset: every run a mark, the mean a bar, the published value a cross."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for score in scores:
        if score.metric == HEADLINE[score.task] and score.metric not in COUNTS:
            values.setdefault((score.dataset, score.model, score.protocol), []).append(100 * score.value)
    names = [name for task in HEADLINE for name in results.datasets_of(task)]
    columns = min(_COLUMNS, max(1, len(names)))
    rows = max(1, math.ceil(len(names) / columns))
    height = 1.2 + 0.24 * len(results.models)
    figure, axes = plt.subplots(
        rows, columns, figsize=(1.6 + 2.6 * columns, 0.5 + height * rows), squeeze=False, layout="constrained"
    )
    any_published = False
    for place, axis in enumerate(axes.flat):
        if place >= len(names):
            axis.set_visible(False)
            continue
        used = protocol if protocol in PROTOCOLS[results.datasets[names[place]]] else STANDARD
        any_published |= _draw_dataset(axis, names[place], used, results, values, looks)
        axis.set_yticks(range(len(results.models)), results.models if place % columns == 0 else [])
    handles = [*_group_handles(looks.values()), Line2D([], [], color="#555555", marker="|", ls="", ms=11, mew=1.8)]
    labels = [*(handle.get_label() for handle in handles[:-1]), "mean"]
    if any_published:
        handles.append(_published_handle())
        labels.append("published" if protocol == STANDARD else "published (paper)")
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _draw_dataset(
    axis: Axes,
    dataset: str,
    protocol: str,
    results: Results,
    values: Mapping[tuple[str, str, str], Sequence[float]],
    looks: Mapping[str, Look],
) -> bool:
    """Draw one dataset's runs and tell whether a published value is among them."""
    metric = HEADLINE[results.datasets[dataset]]
    published = False
    for row, model in enumerate(results.models):
        cell = results.cell(dataset, model, protocol, metric)
        runs = values.get((dataset, model, protocol), [])
        look = looks[model]
        axis.plot(runs, [row] * len(runs), look.marker, ms=4.5, mfc="none", mec=look.colour, mew=1.0, alpha=0.85)
        if cell.mean is None:
            axis.annotate(cell.reason, (0.98, row), xycoords=("axes fraction", "data"), ha="right", va="center")
            axis.texts[-1].set(color="#777777", fontsize=7.5, style="italic")
        else:
            axis.plot([cell.mean], [row], "|", color=look.colour, ms=12, mew=1.8)
        if cell.published:
            axis.plot([cell.published.value], [row], "x", color=PUBLISHED_COLOUR, ms=6.5, mew=1.4)
            published = True
    axis.set_ylim(len(results.models) - 0.4, -0.6)
    axis.set_title(dataset)
    axis.set_xlabel(f"{METRIC_TITLES[metric]}, % ({protocol})")
    axis.margins(x=0.08)
    axis.tick_params(axis="y", length=0)
    return published


def _draw_parameters(results: Results, parameters: Mapping[str, int], looks: Mapping[str, Look]) -> Figure:
    """Return a panel per kind of task: average by the standard protocol against parameters, the Pareto front joined."""
    tasks = [task for task in HEADLINE if results.datasets_of(task)]
    table = averages(results, STANDARD)
    figure, axes = plt.subplots(
        1, max(1, len(tasks)), figsize=(4.6 * max(1, len(tasks)), 4.0), squeeze=False, layout="constrained"
    )
    for task, axis in zip(tasks, axes.flat, strict=False):
        points = [
            (parameters[model] / 1e6, table[model][task][0], model)
            for model in results.models
            if model in parameters and table[model][task][0] is not None
        ]
        _draw_points(axis, points, looks)
        axis.set_title(TASK_TITLES[task])
        axis.set_xlabel("encoder parameters, millions (log scale)")
        axis.set_ylabel(f"mean {METRIC_TITLES[HEADLINE[task]]} of {TASK_SHORT[task]} datasets, %")
    handles = _group_handles(looks.values())
    handles.append(Line2D([], [], color="#999999", lw=1.2, label="no smaller model is better"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_points(axis: Axes, points: Sequence[tuple[float, float, str]], looks: Mapping[str, Look]) -> None:
    """Draw models as points with their names, and the front of those that no smaller model reaches."""
    if not points:
        axis.text(0.5, 0.5, "no scores with parameter counts", transform=axis.transAxes, ha="center", color="#777777")
        return
    front = pareto_front([(size, score) for size, score, _ in points])
    axis.plot(*zip(*front, strict=True), color="#999999", lw=1.2, zorder=1)
    for size, score, model in points:
        look = looks[model]
        axis.plot([size], [score], look.marker, ms=6.5, mfc=look.colour, mec="white", mew=0.6, zorder=3)
    axis.set_xscale("log")
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if _inside(tick, points)]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.margins(x=0.12, y=0.12)
    _label_points(axis, points)


def _inside(tick: float, points: Sequence[tuple[float, float, str]]) -> bool:
    """Tell whether a tick lies near the points' sizes."""
    sizes = [size for size, _, _ in points]
    return min(sizes) / 2 <= tick <= max(sizes) * 2


def _label_points(axis: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write the models' names in a column right of the panel, each joined to its point by a thin line.

    Models of one size and nearly one score lie on top of each other; names beside the points would too.
    """
    ordered = sorted(points, key=lambda point: -point[1])
    low, high = axis.get_ylim()
    heights = spread_heights([(score - low) / (high - low) for _, score, _ in ordered], step=1 / 13)
    for (size, score, model), height in zip(ordered, heights, strict=True):
        axis.annotate(
            model,
            (size, score),
            xytext=(1.02, height),
            textcoords="axes fraction",
            va="center",
            fontsize=7.5,
            arrowprops={
                "arrowstyle": "-",
                "color": "#b5b5b5",
                "lw": 0.6,
                "shrinkA": 1,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )


def spread_heights(heights: Sequence[float], step: float) -> list[float]:
    """Return descending heights in 0..1 moved apart to at least `step`, as near to their places as that allows."""
    step = min(step, 1 / max(1, len(heights) - 1))
    moved: list[float] = []
    for height in heights:
        moved.append(min(height, moved[-1] - step) if moved else min(height, 1.0))
    for i in reversed(range(len(moved))):
        moved[i] = max(moved[i], moved[i + 1] + step if i + 1 < len(moved) else 0.0)
    return moved


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other of at most their size reaches, by size; more is better."""
    front: list[tuple[float, float]] = []
    for size, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or score > front[-1][1]:
            front.append((size, score))
    return front


def _group_handles(looks: Any) -> list[Line2D]:
    """Return legend handles of the groups that occur, in the order of `LOOKS`."""
    present = set(looks)
    return [
        Line2D([], [], color=look.colour, marker=look.marker, ls="", ms=5.5, label=look.label)
        for look in LOOKS.values()
        if look in present
    ]


def _published_handle() -> Line2D:
    return Line2D([], [], color=PUBLISHED_COLOUR, marker="x", ls="", ms=6.5, mew=1.4)
