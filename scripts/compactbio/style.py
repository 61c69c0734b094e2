"""One look for all figures: colours that colour-blind readers tell apart, with shapes that say the same in grey."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.files import replacing_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

PARAMETERS: dict[RcKeyType, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text, in the reader's own font
    "pdf.fonttype": 42,  # text stays text, in TrueType fonts that are embedded: journals refuse Type 3
    "svg.hashsalt": "compactbio",  # the same figure gives the same bytes
    "figure.dpi": 110,
    "savefig.dpi": 300,
}
FORMATS = ("svg", "pdf", "png")
_UNTIMED: dict[str, dict[str, None]] = {  # metadata that would differ from one run or version to the next
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
QUIET = "#777777"  # words that stand where there is nothing to draw

# Okabe and Ito's palette without its yellow, which is too light for lines on white.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
LINES = ("-", "--", ":", "-.")
MARKERS = "osD^vP*X<>hp"


@dataclass(frozen=True, slots=True)
class Look:
    """How the models of one group are drawn."""

    label: str
    colour: str
    marker: str


# From dark to light in this order; the marker says the same without colour.
LOOKS: dict[str, Look] = {
    "baseline": Look("baseline", "#000000", "s"),
    "distilled": Look("distilled", "#0072B2", "o"),
    "continual": Look("continually trained", "#D55E00", "^"),
    "given": Look("as published, not trained here", "#56B4E9", "D"),
}
PUBLISHED_COLOUR = "#222222"
_IN_AN_INCH = 14  # characters of a notice


def group_looks(models: Iterable[str], groups: Mapping[str, str], baseline: str) -> dict[str, Look]:
    """Return the look of each model: the baseline's, or its group's, a key of `LOOKS` (`given` where it has none)."""
    return {model: LOOKS["baseline" if model == baseline else groups.get(model, "given")] for model in models}


def line_looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return colour, marker and line of each name, as matplotlib's `plot` takes them; no two names share all three."""
    return {
        name: {
            "color": COLOURS[number % len(COLOURS)],
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": LINES[number // len(COLOURS) % len(LINES)],
        }
        for number, name in enumerate(names)
    }


def say_nothing_to_draw(axis: Axes, reason: str) -> None:
    """Write a reason in the middle of an empty panel and take its ticks away."""
    axis.text(0.5, 0.5, reason, transform=axis.transAxes, ha="center", va="center", color=QUIET)
    axis.set(xticks=[], yticks=[])


def save_figure(figure: Figure, path: Path, notice: str = "") -> list[Path]:
    """Write a figure in each of `FORMATS` beside each other and return the paths; `notice` stands over it."""
    return write_figure(figure, [path.with_name(f"{path.stem}.{suffix}") for suffix in FORMATS], notice)


def write_figure(figure: Figure, paths: Iterable[Path], notice: str = "") -> list[Path]:
    """Write a figure to each path in the format of its suffix, without time or program, and return the paths.

    `notice` stands over it, where the data call for one.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: each file would do it again
    if notice:
        lines = textwrap.fill(notice, max(40, round(_IN_AN_INCH * figure.get_figwidth())))
        figure.text(0.0, 1.01, lines, ha="left", va="bottom", fontsize=8, weight="bold", color=COLOURS[2])
    written = list(paths)
    for path in written:
        suffix = path.suffix.removeprefix(".")
        drawn = io.BytesIO()  # matplotlib's writers do not bear a disk that fails
        figure.savefig(drawn, format=suffix, bbox_inches="tight", metadata=_UNTIMED[suffix])
        with replacing_file(path) as temporary:
            temporary.write_bytes(drawn.getvalue())
    return written
