"""The figure of a corpus: how long its sequences are, per tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from compactbio.corpus.statistics import Lengths
from compactbio.files import replacing_file

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito: told apart with colour-blind eyes
LINES = ("-", "--", ":", "-.")  # and without colours
BINS = 32


def draw_lengths(lengths: Sequence[Lengths], paths: Sequence[Path]) -> None:
    """Draw the share of sequences by length, a line for each tokenizer, into each path (by its suffix)."""
    settings = {"svg.hashsalt": "compactbio", "svg.fonttype": "none", "font.size": 9}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for number, length in enumerate(lengths):
            _draw_one(axes, length, COLOURS[number % len(COLOURS)], LINES[number % len(LINES)])
        axes.set_xlabel("word pieces of a sequence, [CLS] and [SEP] included")
        axes.set_ylabel("share of sequences")
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axes.set_xlim(0, max(length.max_length for length in lengths) * 1.02)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", linewidth=0.4, alpha=0.5)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, loc="upper center")
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else None  # the same bytes every time
            with replacing_file(path) as temporary:
                figure.savefig(temporary, format=path.suffix[1:], dpi=200, metadata=metadata)


def _draw_one(axes: Axes, length: Lengths, colour: str, line: str) -> None:
    """Draw one tokenizer: a stepped histogram, its mean on the axis, what was truncated in the legend."""
    width = max(1, -(-length.max_length // BINS))
    edges = np.arange(1, length.max_length + width + 1, width)
    edges[-1] = max(edges[-1], length.max_length + 1)
    sums = np.add.reduceat(np.append(length.histogram, np.zeros(width, dtype=np.int64)), edges[:-1])
    mean = length.tokens / max(length.sequences, 1)
    truncated = length.truncated / max(length.sequences, 1)
    label = f"{length.tokenizer}: mean {mean:.0f}, {100 * truncated:.1f} % truncated at {length.max_length}"
    axes.stairs(sums / max(length.sequences, 1), edges, color=colour, linestyle=line, linewidth=1.6, label=label)
    axes.plot([mean], [0], marker="^", color=colour, clip_on=False, markersize=7, zorder=3)
