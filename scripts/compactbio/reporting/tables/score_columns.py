"""Tables of score cells: how a cell is printed, the marks of the best, and what the gaps are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from compactbio.kinds import COUNTS
from compactbio.reporting.grouping import grouped
from compactbio.reporting.material import Row
from compactbio.reporting.render import DASH, Block, Entry, count_text, mean_and_std, number
from compactbio.reporting.report_records import PLACE
from compactbio.reporting.score_cells import Cell, ScoreCells, rank_marks

ROW_MARKS_NOTE = "Bold: highest mean of its row; underlined: second highest. The marks say nothing about significance."

Column = tuple[str, list[Entry]]  # its title, and an entry for each model


class Line(NamedTuple):
    """A row of a table whose columns are the models: its group, what it shows, and a cell for each model."""

    group: str
    title: str
    cells: Sequence[Cell]


def cell_entry(cell: Cell, mark: str = "", *, deviations: bool = True) -> Entry:
    """Return what is printed of a cell wherever it stands: its mean, with its standard deviation if asked for."""
    if cell.metric in COUNTS:
        return Entry(DASH if cell.mean is None else count_text(cell.mean))
    text = mean_and_std(cell.mean, cell.std) if deviations else number(cell.mean)
    return Entry(text, mark, cell=cell.place)


def marked_entries(cells: Sequence[Cell], *, deviations: bool = True) -> list[Entry]:
    """Return the entries of cells that are compared with each other, with the marks of best and second."""
    marks = rank_marks([None if cell.metric in COUNTS else cell.mean for cell in cells])
    return [cell_entry(cell, mark, deviations=deviations) for cell, mark in zip(cells, marks, strict=True)]


def mean_column(title: str, cells: Sequence[Cell], *, deviations: bool = True) -> Column:
    """Return the means of cells, with their standard deviations if asked for, and the marks of best and second."""
    return title, marked_entries(cells, deviations=deviations)


def side_by_side(
    title: str, label: str, headings: tuple[str, str], lines: Sequence[Line], scored: ScoreCells, notes: list[str]
) -> Block:
    """Return the table with a column for each model, the layout that papers print; a group's name stands once."""
    rows, group = [], ""
    for line in lines:
        name = "" if line.group == group else line.group
        rows.append([Entry(name), Entry(line.title), *marked_entries(line.cells)])
        group = line.group
    return Block(title, label, [*headings, *scored.models], rows, notes, wide=True)


def block_of(title: str, label: str, columns: Sequence[Column], scored: ScoreCells, notes: list[str]) -> Block:
    """Return the table with a row for each model and these columns."""
    rows = [[Entry(model), *(entries[i] for _, entries in columns)] for i, model in enumerate(scored.models)]
    return Block(title, label, ["model", *(heading for heading, _ in columns)], rows, notes)


def cell_record(cell: Cell) -> Row:
    """Return the tidy row of a cell, every digit kept."""
    row: Row = {name: getattr(cell, name) for name in (*PLACE, "mean", "std", "runs", "reason")}
    return row | {"unit": "count" if cell.metric in COUNTS else "percent"}


def gap_notes(cells: Sequence[Cell], scored: ScoreCells) -> list[str]:
    """Return a note for each reason that cells are empty for, naming the models (and datasets, if not all)."""
    shown = dict.fromkeys(cell.dataset for cell in cells)
    notes = []
    for reason, empty in grouped((cell.reason, cell) for cell in cells if cell.mean is None).items():
        of_models = grouped((cell.model, cell.dataset) for cell in empty)
        models = {model: list(dict.fromkeys(names)) for model, names in of_models.items()}
        if len(models) == len(scored.models) and all(len(names) == len(shown) for names in models.values()):
            where = "all models"
        else:
            where = ", ".join(
                model if len(models[model]) == len(shown) else f"{model} ({', '.join(models[model])})"
                for model in scored.models
                if model in models
            )
        notes.append(f"{DASH} = {reason}: {where}.")
    return notes
