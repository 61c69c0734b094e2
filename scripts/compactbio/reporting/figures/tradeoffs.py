"""Score against what a model costs (parameters, latency), with the Pareto front: the models that none beats in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.kinds.kind import STANDARD
from compactbio.reporting.efficiency.measurements import DEVICES
from compactbio.reporting.figures.score_dots import group_handles
from compactbio.reporting.material import Material
from compactbio.reporting.score_cells import ScoreCells
from compactbio.reporting.tables.averages import averages
from compactbio.style import Look, say_nothing_to_draw

Costs = Mapping[str, float]
_FRONT = "#999999"
_TO_NAME = {"arrowstyle": "-", "color": "#c4c4c4", "lw": 0.6, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)}
_TICKS = (1, 2, 5)  # times powers of ten


def by_parameters(material: Material) -> Figure:
    """Return score against parameters; a model that was not measured is left out."""
    parameters = {name: facts["parameters"]["encoder"] / 1e6 for name, facts in material.measured.items()}
    return _draw(material.scored, {"encoder parameters, millions (log scale)": parameters}, "smaller", material.looks)


def by_latency(material: Material) -> Figure:
    """Return score against latency, a row of panels for each device that was measured on."""
    measured = material.measured
    devices = [device for device in DEVICES if any(device in facts for facts in measured.values())]
    latencies = {
        f"{DEVICES[device]} latency of one sequence, ms (log scale)": {
            name: facts[device]["latency_milliseconds"]["median"] for name, facts in measured.items() if device in facts
        }
        for device in devices or [next(iter(DEVICES))]
    }
    return _draw(material.scored, latencies, "faster", material.looks)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other of at most their cost reaches, by cost; more score is better."""
    front: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or score > front[-1][1]:
            front.append((cost, score))
    return front


def spread_heights(heights: Sequence[float], step: float) -> list[float]:
    """Return descending heights in 0..1 moved apart to at least `step`, as near to their places as that allows."""
    step = min(step, 1 / max(1, len(heights) - 1))
    moved: list[float] = []
    for height in heights:
        moved.append(min(height, moved[-1] - step) if moved else min(height, 1.0))
    for i in reversed(range(len(moved))):
        moved[i] = max(moved[i], moved[i + 1] + step if i + 1 < len(moved) else 0.0)
    return moved


def _draw(scored: ScoreCells, costs: Mapping[str, Costs], word: str, looks: Mapping[str, Look]) -> Figure:
    """Return a row of panels for each kind of cost, a panel per kind of task: average by the standard protocol."""
    tasks = [task for task in KINDS if scored.datasets_of(task)]
    table = averages(scored, STANDARD)
    columns = max(1, len(tasks))
    size = (4.8 * columns, 0.5 + 3.5 * len(costs))
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)  # the names right of a panel need their room
    figure, axes = plt.subplots(len(costs), columns, figsize=size, squeeze=False, layout=layout)
    for row, (label, by_model) in zip(axes, costs.items(), strict=True):
        for task, axis in zip(tasks, row, strict=False):
            points = [
                (by_model[model], score, model)
                for model in scored.models
                if model in by_model and (score := table[model][task].value) is not None
            ]
            axis.set_title(KINDS[task].title)
            axis.set_xlabel(label)
            axis.set_ylabel(f"mean {METRIC_TITLES[KINDS[task].headline]} of {KINDS[task].short} datasets, %")
            if points:
                _draw_points(axis, points, looks)
            else:
                say_nothing_to_draw(axis, "no model has both numbers")
    handles = group_handles(looks.values())
    front = f"Pareto front (names in bold): no {word} model scores as high"
    handles.append(Line2D([], [], color=_FRONT, lw=1.2, label=front))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_points(axis: Axes, points: Sequence[tuple[float, float, str]], looks: Mapping[str, Look]) -> None:
    """Draw models as points with their names, and the front."""
    front = pareto_front([(cost, score) for cost, score, _ in points])
    axis.plot(*zip(*front, strict=True), color=_FRONT, lw=1.2, zorder=1)
    for cost, score, model in points:
        look = looks[model]
        axis.plot([cost], [score], look.marker, ms=6.5, mfc=look.colour, mec="white", mew=0.6, zorder=3)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=_TICKS))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    low, high = axis.get_xlim()
    if high / low < 3:  # two ticks at least
        axis.set_xlim(low / 1.5, high * 1.5)
    axis.margins(x=0.12, y=0.12)
    _label_points(axis, points, set(front))


def _label_points(axis: Axes, points: Sequence[tuple[float, float, str]], front: set[tuple[float, float]]) -> None:
    """Write the models' names in a column right of the panel, each joined to its point by a thin line.

    Models of one cost and nearly one score lie on top of each other; names beside the points would too.
    """
    ordered = sorted(points, key=lambda point: (-point[1], -point[0]))
    low, high = axis.get_ylim()
    heights = spread_heights([(score - low) / (high - low) for _, score, _ in ordered], step=1 / 13)
    for (cost, score, model), height in zip(ordered, heights, strict=True):
        axis.annotate(
            model,
            (cost, score),
            xytext=(1.02, height),
            textcoords="axes fraction",
            va="center",
            fontsize=7.5,
            fontweight="bold" if (cost, score) in front else "normal",
            zorder=2,
            arrowprops=_TO_NAME,
        )
