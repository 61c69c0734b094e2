"""The loss curve of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compactbio.files import replacing_file


def draw_loss_curve(title: str, lines: list[dict[str, Any]], files: list[Path]) -> None:
    """Write the loss and each term by step, in the format of each file's suffix.

    Args:
        lines: of metrics.jsonl; those without a loss are left out.
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "compactbio"  # equal curves, equal bytes
    import matplotlib.pyplot as plt

    lines = [line for line in lines if "loss" in line]
    steps = [line["step"] for line in lines]
    names = sorted({name for line in lines for name in line["terms"]})
    figure, axes = plt.subplots(figsize=(7.0, 4.0), layout="constrained")
    marker = "o" if len(steps) < 20 else None
    if len(names) != 1:
        axes.plot(steps, [line["loss"] for line in lines], color="black", label="loss", marker=marker, markersize=3)
    for name in names:
        axes.plot(steps, [line["terms"].get(name) for line in lines], label=name, marker=marker, markersize=3)
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.set_ylabel("loss, and its weighted terms")
    axes.set_ylim(bottom=0.0)
    axes.grid(alpha=0.3)
    if names:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for file in files:
        kind = file.suffix.removeprefix(".")
        with replacing_file(file) as temporary:
            # without dates, so that equal curves give equal files
            metadata = {"Date": None} if kind == "svg" else {"Software": None}
            figure.savefig(temporary, format=kind, dpi=150, metadata=metadata)
    plt.close(figure)
