"""What tables print of score cells, read back from their HTML files: one cell has to be one text everywhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path

from compactbio.reporting.render import number
from compactbio.reporting.score_cells import Cell

Printed = dict[str, list[str]]  # a cell's place to what is printed of it


class _Cells(HTMLParser):
    """Collects the texts of elements that name a cell."""

    def __init__(self) -> None:
        """Begin without a cell."""
        super().__init__()
        self.printed: Printed = {}
        self._open: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin the text of a cell where a tag names one."""
        place = dict(attrs).get("data-cell")
        if place:
            self.printed.setdefault(place, []).append("")
            self._open = self.printed[place]

    def handle_data(self, data: str) -> None:
        """Add to the text of the open cell."""
        if self._open is not None:
            self._open[-1] += data

    def handle_endtag(self, tag: str) -> None:
        """End a cell; marks inside it go on."""
        if tag == "span":
            self._open = None


def read_printed(path: Path) -> Printed:
    """Return what an HTML file of `render` prints of each cell."""
    reader = _Cells()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader.printed


def find_print_problems(printed: Mapping[str, Printed], cells: Collection[Cell]) -> list[str]:
    """Return every place in which a table prints something else of a cell than its scores give, and what lacks.

    Args:
        printed: by the table's name.
        cells: those that the scores give.
    """
    means = {cell.place: number(cell.mean) for cell in cells}
    deviations = {cell.place: number(cell.std) for cell in cells}
    problems = []
    for table, place, text in _texts(printed):
        mean, _, std = text.partition(" ± ")
        if mean != means.get(place):
            problems.append(f"table {table} prints {mean} of {place}, the scores give {means.get(place, 'nothing')}")
        elif std and std != deviations[place]:
            problems.append(f"table {table} prints ± {std} of {place}, the scores give {deviations[place]}")
    shown = {place for of_table in printed.values() for place in of_table}
    lacking = [cell.place for cell in cells if cell.is_required and cell.place not in shown]
    return problems + [f"no table prints {place}" for place in lacking]


def _texts(printed: Mapping[str, Printed]) -> Iterable[tuple[str, str, str]]:
    """Yield each printed text with its table and cell."""
    for table, cells in printed.items():
        for place, texts in cells.items():
            for text in texts:
                yield table, place, text
