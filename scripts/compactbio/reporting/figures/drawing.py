"""All figures of a run, built by their records and written as SVG and PNG."""

from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot as plt

from compactbio.reporting.material import Material
from compactbio.reporting.report_records import FIGURES
from compactbio.style import PARAMETERS, save_figure


def draw_figures(folder: Path, material: Material, notice: str = "") -> list[Path]:
    """Write all figures into a folder, each under the notice, and return their paths."""
    paths = []
    with plt.rc_context(PARAMETERS):
        for record in FIGURES:
            figure = record.build(material)
            paths += save_figure(figure, folder, record.name, notice)
            plt.close(figure)
    return paths
