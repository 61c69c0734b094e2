"""The loss curve of a training."""

from __future__ import annotations

import math
from pathlib import Path

from compactbio.style import PARAMETERS, line_looks, write_figure
from compactbio.training.progress import MetricsLine


def draw_loss_curve(title: str, lines: list[MetricsLine], files: list[Path], notice: str = "") -> None:
    """Write the loss and each term by step under the notice, as each file's suffix says; a line may lack a loss."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = [line for line in lines if "loss" in line]
    steps = [line["step"] for line in lines]
    names = sorted({name for line in lines for name in line["terms"]})
    with plt.rc_context(PARAMETERS):
        figure, axes = plt.subplots(figsize=(7.0, 4.0), layout="constrained")
        curves = {"loss": [line["loss"] for line in lines]} if len(names) != 1 else {}
        curves |= {name: [line["terms"].get(name, math.nan) for line in lines] for name in names}
        every = max(1, round(len(steps) / 20))  # marks too distinguish the curves, not colour alone
        for name, look in line_looks(list(curves)).items():
            axes.plot(steps, curves[name], label=name, lw=1.2, ms=4, mfc="none", markevery=every, **look)
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.set_ylabel("loss, and its weighted terms")
        axes.set_ylim(bottom=0.0)
        if names:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        write_figure(figure, files, notice)
        plt.close(figure)
