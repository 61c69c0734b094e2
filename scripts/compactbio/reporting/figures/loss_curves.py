"""The losses of all pre-trainings in one figure: by tokens and by time, a panel for each objective."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from compactbio.reporting.figures.panels import add_legend, empty_figure, panels
from compactbio.reporting.figures.term_curves import term_title
from compactbio.reporting.grouping import grouped
from compactbio.reporting.material import Material
from compactbio.reporting.pretrainings import Pretraining, running_mean
from compactbio.style import line_looks

SMOOTHED_SHARE = 0.02  # of a training's logged lines: the width of the running mean
_MARKS = 12  # on a curve, about
_TITLE_WIDTH = 40  # characters
_COUNTS = ((", billions", 1e9), (", millions", 1e6), (", thousands", 1e3), ("", 1.0))
_UNITS = (("hours", 1.0), ("minutes", 60.0), ("seconds", 3600.0))  # and how many an hour has


def build(material: Material) -> Figure:
    """Return the figure; without a training it says so in words."""
    return draw_losses(material.scored.models, material.pretrainings)


def draw_losses(models: Sequence[str], pretrainings: Mapping[str, Pretraining]) -> Figure:
    """Return the figure of all pre-trainings.

    Models keep the looks that they have in other figures; pre-trained ones beside them (teachers) come last.
    """
    names = [*models, *(name for name in pretrainings if name not in models)]
    looks = {name: look for name, look in line_looks(names).items() if name in pretrainings}
    return _draw(pretrainings, looks) if pretrainings else empty_figure("No model is pre-trained in this run.")


def smoothed(losses: np.ndarray) -> np.ndarray:
    """Return running means over an odd number of lines, `SMOOTHED_SHARE` of them; a short training stays as it is."""
    return running_mean(losses, 2 * int(SMOOTHED_SHARE * len(losses) / 2) + 1)


def objective_title(objective: Sequence[tuple[str, float, float | None]]) -> str:
    """Return an objective in words, weights before the terms, in lines of a panel's width."""
    terms = sorted(objective, key=lambda term: -term[1])
    alike = len({weight for _, weight, _ in terms}) == 1
    texts = [term_title(name) if alike else f"{weight:g} × {term_title(name)}" for name, weight, _ in terms]
    texts[0] = f"{texts[0][0].upper()}{texts[0][1:]}"
    whole = (text.replace(" ", "\N{NO-BREAK SPACE}") for text in texts)  # lines end between terms only
    joined = " +\N{NO-BREAK SPACE}".join(whole)
    return textwrap.fill(joined, _TITLE_WIDTH, break_long_words=False).replace("\N{NO-BREAK SPACE}", " ")


def _draw(pretrainings: Mapping[str, Pretraining], looks: Mapping[str, dict[str, Any]]) -> Figure:
    """Return two panels for each objective, the same losses by tokens and by time."""
    groups = grouped((pretrainings[model].objective, model) for model in looks)
    figure, axes = panels(len(groups), (1.0, 3.2), (0.8, 2.5), stacked=2, least_width=6.4)
    everything = list(pretrainings.values())
    (token_label, per_token), (time_label, per_hour) = _token_unit(everything), _time_unit(everything)
    for (by_tokens, by_time), (objective, models) in zip(axes, groups.items(), strict=True):
        by_tokens.set_title(objective_title(objective), fontsize=8)
        for model in models:
            pretraining = pretrainings[model]
            _draw_curve(by_tokens, per_token * pretraining.tokens(), pretraining, looks[model])
            _draw_curve(by_time, per_hour * pretraining.device_hours(), pretraining, looks[model])
        ends = _range(pretrainings[model] for model in models)
        for axis, label in ((by_tokens, token_label), (by_time, time_label)):
            axis.set(xlabel=label, ylabel="loss", ylim=ends)
    handles = [Line2D([], [], label=model, lw=1.4, ms=4, mfc="none", **look) for model, look in looks.items()]
    add_legend(figure, handles)
    return figure


def _range(pretrainings: Iterable[Pretraining]) -> tuple[float, float]:
    """Return the ends of a panel: the first losses of a long training, far above the rest, do not decide them."""
    smooth = np.concatenate([smoothed(pretraining.losses()) for pretraining in pretrainings])
    margin = 0.06 * (smooth.max() - smooth.min() or abs(smooth.max()) or 1.0)
    return smooth.min() - margin, smooth.max() + margin


def _token_unit(pretrainings: Sequence[Pretraining]) -> tuple[str, float]:
    """Return the axis label of tokens read, and how many of its unit a token is."""
    most = max(pretraining.tokens()[-1] for pretraining in pretrainings)
    word, size = next((unit for unit in _COUNTS if most >= unit[1]), _COUNTS[-1])
    return f"tokens read{word}", 1 / size


def _time_unit(pretrainings: Sequence[Pretraining]) -> tuple[str, float]:
    """Return the axis label of time in steps, of all GPUs if there were some, and how many of its unit an hour is."""
    most = max(pretraining.device_hours()[-1] for pretraining in pretrainings)
    unit, in_an_hour = next((unit for unit in _UNITS if most * unit[1] >= 2), _UNITS[-1])
    on_gpus = {pretraining.gpus > 0 for pretraining in pretrainings}
    if on_gpus == {True}:
        return f"GPU-{unit} of training", in_an_hour
    return f"{unit} of training on a CPU" if on_gpus == {False} else f"GPU-{unit}, or {unit} on a CPU", in_an_hour


def _draw_curve(axis: Axes, places: np.ndarray, pretraining: Pretraining, look: dict[str, Any]) -> None:
    """Draw one training: the running mean, and faintly behind it the losses as they were logged."""
    losses = pretraining.losses()
    axis.plot(places, losses, color=look["color"], lw=0.6, alpha=0.25, zorder=1.5)
    every = max(1, round(len(losses) / _MARKS))
    axis.plot(places, smoothed(losses), lw=1.4, ms=4, mfc="none", markevery=every, **look)
