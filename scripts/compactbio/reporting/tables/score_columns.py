"""Columns of tables: their cells with marks, and what the gaps in them are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from compactbio.reporting.render import DASH, Entry
from compactbio.reporting.score_cells import Cell, ScoreCells, rank_marks


def marked_column(texts: Sequence[str], cells: Sequence[Cell]) -> list[Entry]:
    """Return a column's texts with the marks of its best and second mean."""
    marks = rank_marks([cell.mean for cell in cells])
    return [Entry(text, mark) for text, mark in zip(texts, marks, strict=True)]


def gap_notes(cells: Iterable[Cell], scored: ScoreCells) -> list[str]:
    """Return a note for each reason that cells are empty for, naming the models (and datasets, if not all)."""
    cells = list(cells)
    shown = list(dict.fromkeys(cell.dataset for cell in cells))
    gaps: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        if cell.mean is None and cell.dataset not in gaps[cell.reason][cell.model]:
            gaps[cell.reason][cell.model].append(cell.dataset)
    notes = []
    for reason, models in gaps.items():
        if not models:
            continue
        if len(models) == len(scored.models) and all(len(names) == len(shown) for names in models.values()):
            notes.append(f"{DASH} = {reason}: all models.")
            continue
        parts = [
            model if len(models[model]) == len(shown) else f"{model} ({', '.join(models[model])})"
            for model in scored.models
            if model in models
        ]
        notes.append(f"{DASH} = {reason}: {', '.join(parts)}.")
    return notes
