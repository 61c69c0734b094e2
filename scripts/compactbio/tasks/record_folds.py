"""A user's own rows for cross-validation: one table, in which a column says in which fold a row is test data."""

from __future__ import annotations

from collections import Counter
from typing import Any

from compactbio.errors import UserError
from compactbio.tasks.prepared import Columns, Definition, Prepared
from compactbio.tasks.records import DOCUMENT, Rows, append_row, named_columns, table_rows

FOLD = "fold"


def read_dataset(definition: Definition) -> Prepared:
    """Return the chosen folds: the rows of each are its test data, those of all others its training data.

    Raises:
        UserError: as of records.read_dataset; or a row's fold is no number from 1, or a chosen fold has no row.
    """
    path, names = definition.file("train"), named_columns(definition)
    rows, folds = Rows(definition), []
    for number, row in table_rows(path, names):
        where = f"{path}, line {number}"
        append_row(rows, row, names, where)
        folds.append(_fold(row[names[FOLD]], f"{where}: {names[FOLD]}"))
    sizes = Counter(folds)
    lacking = [fold for fold in definition.folds if not 0 < sizes[fold] < len(folds)]
    if lacking:
        raise UserError(
            f"{path}: fold {lacking[0]} of {definition.key}.folds has {sizes[lacking[0]]} of {len(folds)} rows: it has "
            f"{', '.join(map(str, sorted(sizes)))}; correct the list or the column {names[FOLD]}"
        )
    made = Prepared({}, {}, [path])
    for split in ("train", "test"):
        columns: Columns = {name: [] for name in definition.kind.columns}
        for fold in definition.folds:
            chosen = [place for place, other in enumerate(folds) if (other == fold) == (split == "test")]
            for name, values in columns.items():
                values += [fold] * len(chosen) if name == FOLD else [rows.columns[name][place] for place in chosen]
        parts = Counter(columns[FOLD])
        made.splits[split] = columns
        made.counts[split] = {
            **{"rows": len(columns["id"]), "documents": len(set(columns[DOCUMENT])), "folds": len(parts)},
            **{"smallest_fold": min(parts.values()), "largest_fold": max(parts.values())},
        }
    return made


def _fold(value: Any, where: str) -> int:
    """Return the fold of a row."""
    if not str(value).isdecimal() or int(value) < 1:
        raise UserError(f"{where} is {value!r:.80}, the number of a fold from 1 is needed: correct it")
    return int(value)
