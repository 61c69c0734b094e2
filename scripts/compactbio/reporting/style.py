"""One look for all figures: colours that colour-blind readers tell apart, with shapes that say the same in grey."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compactbio.files import replacing_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARAMETERS = {
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
    "svg.hashsalt": "compactbio",  # the same figure gives the same bytes
    "figure.dpi": 110,
    "savefig.dpi": 160,
}
_SVG_METADATA = {"Date": None}  # no time stamp


@dataclass(frozen=True, slots=True)
class Look:
    """How the models of one group are drawn."""

    label: str
    colour: str
    marker: str


# Okabe and Ito's palette, dark to light in this order; the marker says the same without colour.
LOOKS: dict[str, Look] = {
    "baseline": Look("baseline", "#000000", "s"),
    "distilled": Look("distilled", "#0072B2", "o"),
    "continual": Look("continually trained", "#D55E00", "^"),
    "given": Look("as published, not trained here", "#56B4E9", "D"),
}
PUBLISHED_COLOUR = "#222222"


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as SVG and PNG and return the two paths."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: each file would do it again
    paths = []
    for suffix in ("svg", "png"):
        path = folder / f"{name}.{suffix}"
        with replacing_file(path) as temporary:
            metadata = _SVG_METADATA if suffix == "svg" else None
            figure.savefig(temporary, format=suffix, bbox_inches="tight", metadata=metadata)
        paths.append(path)
    return paths
