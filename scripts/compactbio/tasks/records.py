"""Rows of a user's own, a table or JSON lines, whose columns the definition names (`columns`, role to name)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.kinds.shared import RECORD_ROLES, SEPARATOR
from compactbio.tasks.prepared import Columns, Counts, Definition, Prepared
from compactbio.tasks.sentences import count_labels
from compactbio.tasks.texts import check_label, read_json_objects, read_lines, read_rows

TEXT, PAIR, DOCUMENT = RECORD_ROLES


def read_dataset(definition: Definition) -> Prepared:
    """Return a data set with a file per split.

    Raises:
        UserError: a column is missing, a text empty or no text, or a label unknown; file and line are named.
    """
    splits, files = {}, definition.split_files()
    names = named_columns(definition)
    for split, path in files.items():
        rows = _table_rows(path) if definition.layout.name == "table" else read_json_objects(path)
        splits[split] = Rows(definition)
        for number, row in rows:
            _append(splits[split], row, names, f"{path}, line {number}")
        if not splits[split].columns["id"]:
            raise UserError(f"{path} holds no row")
    return prepared(definition, splits, list(files.values()))


def named_columns(definition: Definition) -> dict[str, str]:
    """Return the column of each role: as the definition names it, else the role; pair and document only if named."""
    roles = (role for role in definition.layout.roles if role in definition.columns or role not in (PAIR, DOCUMENT))
    return {role: definition.columns.get(role, role) for role in roles}


class Rows:
    """The columns of one split while they are filled, by the kind's record."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.columns: Columns = {name: [] for name in definition.kind.columns}

    def add(self, text: str, pair: str, label: Any, document: str | None, where: str) -> None:
        """Append a row; one without a document is its own, which its texts name.

        Raises:
            UserError: a label is unknown; `where` is its place.
        """
        labels = self.definition.kind.labels
        assert labels is not None
        row: dict[str, Any] = {TEXT: text, PAIR: pair, "id": len(self.columns["id"])}
        row[DOCUMENT] = document or hashlib.sha256("\0".join([text, pair]).encode()).hexdigest()[:16]
        known, key = self.definition.label_ids, f"{self.definition.key}.labels"
        found = [check_label(one, known, where, key) for one in (label if labels.nested else [label])]
        row[labels.column] = found if labels.nested else found[0]
        for name, values in self.columns.items():
            values.append(row[name])


def prepared(definition: Definition, splits: Mapping[str, Rows], inputs: list[Path]) -> Prepared:
    """Return splits with their counts."""
    assert definition.kind.labels is not None
    counts: dict[str, Counts] = {}
    column = definition.kind.labels.column
    for split, rows in splits.items():
        counts[split] = count_labels(rows.columns[column], definition.labels)
        counts[split]["documents"] = len(set(rows.columns[DOCUMENT]))
    return Prepared({split: rows.columns for split, rows in splits.items()}, counts, inputs)


def _table_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, cell by name of its column) of a tab-separated file with a header."""
    header = next(iter(read_lines(path))).split("\t")
    for number, cells in read_rows(path, len(header), ", ".join(header))[1:]:
        yield number, dict(zip(header, cells, strict=True))


def _append(rows: Rows, row: Mapping[str, Any], names: Mapping[str, str], where: str) -> None:
    """Append a row as its file has it."""
    key = f"{rows.definition.key}.columns"
    missing = [name for name in names.values() if name not in row]
    if missing:
        raise UserError(f"{where}: no column {', '.join(missing)} (it has {', '.join(row)}): correct it or {key}")
    values = {role: row[name] for role, name in names.items()}
    labels = rows.definition.kind.labels
    assert labels is not None
    label = values.pop(labels.column)
    if labels.nested:
        label = [one.strip() for one in label.split(SEPARATOR) if one.strip()] if isinstance(label, str) else label
        if not isinstance(label, list) or not all(isinstance(one, str) for one in label):
            raise UserError(f"{where}: {names[labels.column]} is {label!r:.80}, a list of labels is needed: correct it")
    else:
        values[labels.column] = label
    for role, value in values.items():
        if not isinstance(value, str | int) or not str(value).strip():
            raise UserError(f"{where}: {names[role]} is {value!r:.80}, a text is needed: fill it, or correct {key}")
    text, pair, document = (str(values[role]).strip() if role in values else "" for role in RECORD_ROLES)
    rows.add(text, pair, label if labels.nested else str(label).strip(), document, where)
