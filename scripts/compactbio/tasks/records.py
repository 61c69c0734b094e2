"""Rows of a user's own, a table or JSON lines, whose columns the definition names (`columns`, role to name)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.kinds.shared import RECORD_ROLES, SEPARATOR
from compactbio.tasks.prepared import Columns, Counts, Definition, Prepared
from compactbio.tasks.sentences import count_labels
from compactbio.tasks.texts import check_label, read_json_objects, read_lines, read_rows

TEXT, PAIR, DOCUMENT = RECORD_ROLES
SCORE = "score"  # of a kind of task without labels
LARGEST_NUMBER = 1e6  # whose squared error float32 still adds up with others


def read_dataset(definition: Definition) -> Prepared:
    """Return a data set with a file per split.

    Raises:
        UserError: a column is missing, a text empty or no text, a label unknown, or a score no number; file and line
            are named.
    """
    splits, files = {}, definition.split_files()
    names = named_columns(definition)
    for split, path in files.items():
        rows = table_rows(path, names) if definition.layout.name == "table" else read_json_objects(path)
        splits[split] = Rows(definition)
        for number, row in rows:
            append_row(splits[split], row, names, f"{path}, line {number}")
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

    def add(self, text: str, pair: str, target: Any, document: str | None, where: str) -> None:
        """Append a row; one without a document is its own, which its texts name.

        Args:
            target: its label, its labels, or for a kind of task without labels its number.

        Raises:
            UserError: a label is unknown; `where` is its place.
        """
        labels = self.definition.kind.labels
        row: dict[str, Any] = {TEXT: text, PAIR: pair, "id": len(self.columns["id"]), "fold": 0}
        row[DOCUMENT] = document or hashlib.sha256("\0".join([text, pair]).encode()).hexdigest()[:16]
        if labels is None:
            row[SCORE] = target
        else:
            known, key = self.definition.label_ids, f"{self.definition.key}.labels"
            found = [check_label(one, known, where, key) for one in (target if labels.nested else [target])]
            row[labels.column] = found if labels.nested else found[0]
        for name, values in self.columns.items():
            values.append(row[name])


def prepared(definition: Definition, splits: Mapping[str, Rows], inputs: list[Path]) -> Prepared:
    """Return splits with their counts."""
    counts: dict[str, Counts] = {}
    labels = definition.kind.labels
    for split, rows in splits.items():
        counts[split] = {"rows": len(rows.columns["id"])}
        if labels is not None:
            counts[split] = count_labels(rows.columns[labels.column], definition.labels)
        counts[split]["documents"] = len(set(rows.columns[DOCUMENT]))
    return Prepared({split: rows.columns for split, rows in splits.items()}, counts, inputs)


def table_rows(path: Path, names: Mapping[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, cell by name of its column) of a tab-separated file.

    It begins with a header, unless all of the `names` are numbers: columns are counted from 1 then.
    """
    header = next(iter(read_lines(path))).split("\t")
    numbered = all(name.isdecimal() for name in names.values())
    if numbered:
        header = [str(number) for number in range(1, len(header) + 1)]
    for number, cells in read_rows(path, len(header), ", ".join(header))[0 if numbered else 1 :]:
        yield number, dict(zip(header, cells, strict=True))


def append_row(rows: Rows, row: Mapping[str, Any], names: Mapping[str, str], where: str) -> None:
    """Append a row as its file has it."""
    key = f"{rows.definition.key}.columns"
    missing = [name for name in names.values() if name not in row]
    if missing:
        raise UserError(f"{where}: no column {', '.join(missing)} (it has {', '.join(row)}): correct it or {key}")
    values = {role: row[name] for role, name in names.items()}
    texts = {role: values[role] for role in RECORD_ROLES if role in values}
    labels = rows.definition.kind.labels
    if labels is not None and not labels.nested:
        texts[labels.column] = values[labels.column]
    for role, value in texts.items():
        if not isinstance(value, str | int) or not str(value).strip():
            raise UserError(f"{where}: {names[role]} is {value!r:.80}, a text is needed: fill it, or correct {key}")
        texts[role] = str(value).strip()
    if labels is None:
        target: Any = _number(values[SCORE], f"{where}: {names[SCORE]}")
    elif labels.nested:
        target = _labels(values[labels.column], f"{where}: {names[labels.column]}")
    else:
        target = texts[labels.column]
    rows.add(texts[TEXT], texts.get(PAIR, ""), target, texts.get(DOCUMENT), where)


def _labels(value: Any, where: str) -> list[str]:
    """Return the labels of a row, a list in JSON and joined by `SEPARATOR` in a table."""
    names = [one.strip() for one in value.split(SEPARATOR) if one.strip()] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise UserError(f"{where} is {names!r:.80}, a list of labels is needed: correct it")
    return names


def _number(value: Any, where: str) -> float:
    """Return the number of a row."""
    try:
        number = float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        number = math.nan
    if not abs(number) <= LARGEST_NUMBER:
        raise UserError(f"{where} is {value!r:.80}, a number of at most {LARGEST_NUMBER:.0e} is needed: correct it")
    return number
