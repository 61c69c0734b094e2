"""Tables of columns of cells: the marks of the best, and what the gaps are."""

from __future__ import annotations

from collections.abc import Sequence

from compactbio.reporting.grouping import grouped
from compactbio.reporting.render import DASH, Block, Entry, mean_and_std, number
from compactbio.reporting.score_cells import Cell, ScoreCells, rank_marks

Column = tuple[str, list[Entry]]  # its title, and an entry for each model


def mean_column(title: str, cells: Sequence[Cell], *, deviations: bool = True) -> Column:
    """Return the means of cells, with their standard deviations if asked for, and the marks of best and second."""
    marks = rank_marks([cell.mean for cell in cells])
    texts = [mean_and_std(cell.mean, cell.std) if deviations else number(cell.mean) for cell in cells]
    return title, [Entry(text, mark) for text, mark in zip(texts, marks, strict=True)]


def block_of(title: str, label: str, columns: Sequence[Column], scored: ScoreCells, notes: list[str]) -> Block:
    """Return the table with a row for each model and these columns."""
    rows = [[Entry(model), *(entries[i] for _, entries in columns)] for i, model in enumerate(scored.models)]
    return Block(title, label, ["model", *(heading for heading, _ in columns)], rows, notes)


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
