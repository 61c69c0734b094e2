"""Learning curves of fine-tuning: training loss and, below it, validation score by epoch, for each dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from compactbio.finetuning.runs.records import NamedEpochLine
from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.reporting.figures.panels import add_legend, panels
from compactbio.reporting.grouping import grouped
from compactbio.reporting.material import Material
from compactbio.reporting.trainings import Training, Trainings
from compactbio.style import line_looks, say_nothing_to_draw


def build(material: Material) -> Figure:
    """Return the figure; models without a training are left out."""
    return draw_curves(material.scored.models, material.scored.datasets, material.trainings)


def draw_curves(models: Sequence[str], datasets: Mapping[str, str], trainings: Trainings) -> Figure:
    """Return two panels for each dataset, a line for each model."""
    looks = {model: look | {"label": model} for model, look in line_looks(models).items()}
    figure, axes = panels(len(datasets), (1.2, 2.6), (0.6, 2.3), stacked=2)
    for (losses, scores), (dataset, task) in zip(axes, datasets.items(), strict=True):
        losses.set_title(dataset)
        losses.set_ylabel("training loss")
        scores.set_ylabel(f"validation {METRIC_TITLES[KINDS[task].headline]}, %")
        scores.set_xlabel("epoch")
        for model, look in looks.items():
            if (model, dataset) in trainings:
                _draw(losses, trainings[model, dataset], look, lambda line: line["loss"])
                _draw(scores, trainings[model, dataset], look, partial(_score, metric=KINDS[task].headline))
        for axis, gap in ((losses, "no training"), (scores, "no validation data")):
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            if not axis.lines:
                say_nothing_to_draw(axis, gap)
    handles = {line.get_label(): line for axis in axes.flat for line in axis.lines}
    if handles:
        add_legend(figure, list(handles.values()))
    return figure


def mean_curve(training: Training, value: Callable[[NamedEpochLine], float | None]) -> tuple[list[int], list[float]]:
    """Return epochs and the mean over the runs that have a value there; runs that stopped early end before others."""
    lines = (line for lines in training.epochs.values() for line in lines)
    values = grouped((line["epoch"], found) for line in lines if (found := value(line)) is not None)
    epochs = sorted(values)
    return epochs, [fmean(values[epoch]) for epoch in epochs]


def _draw(
    axis: Axes, training: Training, look: dict[str, Any], value: Callable[[NamedEpochLine], float | None]
) -> None:
    """Draw one model's curve if it has one."""
    epochs, means = mean_curve(training, value)
    if epochs:
        axis.plot(epochs, means, lw=1.2, ms=4, mfc="none", **look)


def _score(line: NamedEpochLine, metric: str) -> float | None:
    """Return an epoch's validation score in percent, None without validation data."""
    found = (line["validation"] or {}).get(metric)
    return None if found is None else 100 * found
