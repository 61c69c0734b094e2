"""Rows of a prepared dataset, read from its Arrow files without importing `datasets` (which takes seconds)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from compactbio.errors import UserError, reading
from compactbio.files import read_json, require_recorded
from compactbio.kinds.kind import Kind, Labels

# In the folder of a prepared dataset: its rows, and the golden answers of questions, ours and the challenge's file.
DATA, GOLDEN, GOLDEN_COPY = "data", "golden.json", "golden_bioasq.json"


class _Splits(TypedDict):
    """dataset_dict.json of the library `datasets`."""

    splits: list[str]


class _File(TypedDict):
    filename: str


class _State(TypedDict):
    """state.json of the library `datasets`, as far as it is read here."""

    _data_files: list[_File]


@dataclass(frozen=True)
class Rows:
    """One split: its columns as Python lists of equal length, and the names of its label ids (None without labels)."""

    columns: dict[str, list[Any]]
    label_names: list[str] | None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, column: str) -> list[Any]:
        return self.columns[column]

    def take(self, indices: list[int]) -> Rows:
        """Return the rows at `indices`, in that order."""
        taken = {name: [values[index] for index in indices] for name, values in self.columns.items()}
        return Rows(taken, self.label_names)

    def of_fold(self, fold: int) -> Rows:
        """Return the rows whose column `fold` has this value."""
        return self.take([index for index, value in enumerate(self["fold"]) if value == fold])


def read_rows(folder: Path, split: str, kind: Kind) -> Rows | None:
    """Return a split of the DatasetDict saved in `folder`, or None if it has no such split.

    Raises:
        UserError: the folder is no saved DatasetDict, or lacks a column that the kind of task needs.
    """
    import pyarrow as pa

    again = "prepare the dataset again"
    require_recorded(folder.parent)
    if split not in read_json(folder / "dataset_dict.json", _Splits, again)["splits"]:
        return None
    tables = []
    for entry in read_json(folder / split / "state.json", _State, again)["_data_files"]:
        path = folder / split / entry["filename"]
        with reading(path, again), pa.memory_map(str(path)) as source:
            tables.append(pa.ipc.open_stream(source).read_all())
            tables[-1].validate(full=True)  # what is out of bounds would end the process
    with reading(folder / split / "state.json", again):
        table = pa.concat_tables(tables)
    missing = [name for name in kind.columns if name not in table.column_names]
    if missing:
        raise UserError(
            f"{folder / split} has no column {', '.join(missing)}, which task {kind.name!r} needs "
            f"(it has {', '.join(table.column_names)}): prepare the dataset again"
        )
    with reading(folder / split, again):
        columns = {name: table.column(name).to_pylist() for name in kind.columns}
    if kind.labels is None:
        return Rows(columns, None)
    path = folder / split / "dataset_info.json"
    content = read_json(path, dict[str, Any], again)
    with reading(path, again):
        feature = content["features"][kind.labels.column]
        return Rows(columns, list(feature.get("feature", feature)["names"]))


def label_ids(rows: Rows, names: list[str], labels: Labels, source: str) -> list[Any]:
    """Return the split's label ids renumbered to the order of `names`, nested as the column is.

    The order of ids then comes from the run file alone and is the same on every machine.

    Raises:
        UserError: the split has a label that `names` lacks.
    """
    stored, values = rows.label_names or [], rows[labels.column]
    used = {value for entry in values for value in (entry if labels.nested else [entry])}
    if not used <= set(range(len(stored))):
        raise UserError(f"{source}: a label's id is none of 0 to {len(stored) - 1}: prepare the dataset again")
    unknown = sorted({stored[value] for value in used} - set(names))
    if unknown:
        raise UserError(
            f"{source}: label {', '.join(map(repr, unknown))} is not among the run's labels {names}: "
            "add it to the dataset's `labels` or correct the data"
        )
    renumbered = {value: names.index(stored[value]) for value in used}
    return [[renumbered[value] for value in entry] if labels.nested else renumbered[entry] for entry in values]


def cut_validation(
    rows: Rows, fraction: float, seed: int, fold: int, kept_together: tuple[str, str] | None = None
) -> tuple[Rows, Rows]:
    """Return (train, validation) of rows that come without a validation part.

    Which rows go is drawn by sha256 of (seed, fold, position): the same on every machine and version.
    Both parts keep the order of the file.

    Args:
        rows, seed, fold: all training rows of a run.
        fraction: of the rows, or of the groups.
        kept_together: column whose equal values stay together (a question's snippets), drawn by the order of first
            occurrence, and what such a group is called; None: rows are drawn singly.

    Raises:
        UserError: one of the two parts would be empty.
    """
    column, groups = kept_together or (None, "rows")
    names = range(len(rows)) if column is None else rows[column]
    number_of = {name: number for number, name in enumerate(dict.fromkeys(names))}
    count = round(len(number_of) * fraction)
    if not 0 < count < len(number_of):
        raise UserError(
            f"validation_fraction {fraction} of {len(number_of)} training {groups} leaves an empty part: change it"
        )

    def drawn(index: int) -> bytes:
        return hashlib.sha256(f"validation {seed} {fold} {index}".encode()).digest()

    chosen = set(sorted(number_of.values(), key=drawn)[:count])
    taken = [index for index, name in enumerate(names) if number_of[name] in chosen]
    kept = [index for index, name in enumerate(names) if number_of[name] not in chosen]
    return rows.take(kept), rows.take(taken)
