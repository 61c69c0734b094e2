"""The loss of one pre-training and its terms by step, as they were logged."""

from __future__ import annotations

import math

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from compactbio.reporting.pretrainings import Pretraining
from compactbio.style import line_looks
from compactbio.terms.objective import TERMS

_MARKS = 20  # on a curve, about


def term_title(name: str) -> str:
    """Return a term in words; one that is no longer known by its name."""
    return TERMS[name].words if name in TERMS else name


def draw_terms(model: str, pretraining: Pretraining) -> Figure:
    """Return the figure: the loss, and each term with its weight."""
    lines = pretraining.lines
    steps = [line["step"] for line in lines]
    names = sorted({name for line in lines for name in line.get("terms", {})})
    curves = {"loss": [line["loss"] for line in lines]} if len(names) != 1 else {}
    curves |= {term_title(name): [line.get("terms", {}).get(name, math.nan) for line in lines] for name in names}
    figure, axes = plt.subplots(figsize=(7.0, 4.0), layout="constrained")
    every = max(1, round(len(steps) / _MARKS))  # marks too distinguish the curves, not colour alone
    for name, look in line_looks(list(curves)).items():
        axes.plot(steps, curves[name], label=name, lw=1.2, ms=4, mfc="none", markevery=every, **look)
    axes.set_title(f"{model}: {'loss and its weighted terms' if len(names) != 1 else 'loss'} by step")
    axes.set(xlabel="step", ylabel="loss", ylim=(0.0, None))
    if names:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
