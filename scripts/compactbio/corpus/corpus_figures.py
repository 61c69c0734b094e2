"""The figures of a corpus: how long its sequences are per tokenizer, and what was kept of each file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from compactbio.corpus.shards import ShardCounts
from compactbio.corpus.summary import Lengths
from compactbio.style import COLOURS, LINES, PARAMETERS, write_figure

BINS = 32
_NAMED = 20  # so many files at most are named on the axis


def draw_lengths(lengths: Sequence[Lengths], paths: Sequence[Path], notice: str = "") -> None:
    """Draw the share of sequences by length, a line for each tokenizer, into each path, under the notice."""
    with matplotlib.rc_context(PARAMETERS):
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for number, length in enumerate(lengths):
            _draw_one(axes, length, COLOURS[1 + number % (len(COLOURS) - 1)], LINES[number % len(LINES)])
        axes.set_xlabel("tokens of a sequence, special ones included")
        axes.set_ylabel("share of sequences")
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axes.set_xlim(0, max(length.max_length for length in lengths) * 1.02)
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center")
        write_figure(figure, paths, notice)


def draw_files(total: ShardCounts, paths: Sequence[Path], notice: str = "") -> None:
    """Draw how many texts each file of the corpus holds and how many were kept, into each path, under the notice."""
    sources = total["sources"]
    read = np.array([source["citations"] for source in sources])
    kept = np.array([source["kept"] for source in sources])
    with matplotlib.rc_context(PARAMETERS):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        axes = figure.add_subplot()
        edges = np.arange(len(sources) + 1) + 0.5
        axes.stairs(kept, edges, fill=True, color="#9cc3dd", label=f"kept ({kept.sum():,})")
        axes.stairs(read, edges, baseline=None, color="#000000", linewidth=1.1, label=f"read ({read.sum():,})")
        if len(sources) <= _NAMED:
            names = [source["name"].split(".")[0] for source in sources]
            turned: dict[str, Any] = {"rotation": 45, "ha": "right"} if len(names) > 4 else {}
            axes.set_xticks(edges[1:] - 0.5, names, **turned)
            axes.tick_params(axis="x", length=0)
        else:
            axes.set_xlabel("file of the corpus, in order")
        axes.grid(axis="x", visible=False)
        axes.set_ylabel(f"{total['kind']} of a file")
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=2)
        write_figure(figure, paths, notice)


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
