"""All figures of a run, built by their records and, of each pre-training, of its terms; written in each format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from compactbio.reporting.figures.term_curves import draw_terms
from compactbio.reporting.material import Material
from compactbio.reporting.report_records import FIGURES
from compactbio.settings.results import Figures
from compactbio.style import PARAMETERS, save_figure


def draw_figures(folder: Path, material: Material, notice: str = "") -> list[Path]:
    """Write all figures into a folder, each under the notice, and return their paths."""
    paths = []
    with plt.rc_context(PARAMETERS):
        for path, figure in _figures(Figures(folder), material):
            paths += save_figure(figure, path, notice)
            plt.close(figure)
    return paths


def _figures(figures: Figures[Path], material: Material) -> Iterator[tuple[Path, Figure]]:
    """Yield each figure with its path as SVG."""
    for record in FIGURES:
        yield figures.figure(record.name, "svg"), record.build(material)
    for model, pretraining in material.pretrainings.items():
        yield figures.losses(model, "svg"), draw_terms(model, pretraining)
