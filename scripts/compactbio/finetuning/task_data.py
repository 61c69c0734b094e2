"""Rows of a prepared dataset, read from its Arrow files without importing `datasets` (which takes seconds)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from compactbio.errors import UserError
from compactbio.files import read_json

COLUMNS = {
    "ner": ("id", "words", "labels"),
    "re": ("id", "fold", "sentence", "label"),
    "qa": ("id", "question_id", "snippet", "question", "context", "answers"),
}
LABEL_COLUMN = {"ner": "labels", "re": "label"}


@dataclass(frozen=True)
class Rows:
    """One split: its columns as Python lists of equal length, and the names of its label ids (None for qa)."""

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


def read_rows(folder: Path, split: str, task: str) -> Rows | None:
    """Return a split of the DatasetDict saved in `folder`, or None if it has no such split.

    Raises:
        UserError: the folder is no saved DatasetDict, or lacks a column that the task needs.
    """
    splits = read_json(folder / "dataset_dict.json")["splits"]
    if split not in splits:
        return None
    state = read_json(folder / split / "state.json")
    tables = []
    for entry in state["_data_files"]:
        path = folder / split / entry["filename"]
        try:
            with pa.memory_map(str(path)) as source:
                tables.append(pa.ipc.open_stream(source).read_all())
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(f"{path} cannot be read as Arrow data ({error}): prepare the dataset again") from None
    if state.get("_indices_data_files"):
        raise UserError(f"{folder / split} holds an index mapping: save it after flatten_indices()")
    table = pa.concat_tables(tables)
    missing = [name for name in COLUMNS[task] if name not in table.column_names]
    if missing:
        raise UserError(
            f"{folder / split} has no column {', '.join(missing)}, which task {task!r} needs "
            f"(it has {', '.join(table.column_names)}): prepare the dataset again"
        )
    features = read_json(folder / split / "dataset_info.json")["features"]
    columns = {name: table.column(name).to_pylist() for name in COLUMNS[task]}
    return Rows(columns, _label_names(features, task))


def label_ids(rows: Rows, labels: list[str], task: str, source: str) -> list[Any]:
    """Return the split's label ids renumbered to the order of `labels`, nested as the column is.

    The order of ids then comes from the run file alone and is the same on every machine.

    Raises:
        UserError: the split has a label that `labels` lacks.
    """
    names = rows.label_names or []
    values = rows[LABEL_COLUMN[task]]
    used = {name for value in values for name in (value if task == "ner" else [value])}
    unknown = sorted(names[value] if 0 <= value < len(names) else str(value) for value in used)
    unknown = [name for name in unknown if name not in labels]
    if unknown:
        raise UserError(
            f"{source}: label {', '.join(map(repr, unknown))} is not among the run's labels {labels}: "
            "add it to the dataset's `labels` or correct the data"
        )
    renumbered = {index: labels.index(name) for index, name in enumerate(names) if name in labels}
    if task == "ner":
        return [[renumbered[value] for value in row] for row in values]
    return [renumbered[value] for value in values]


def cut_validation(rows: Rows, fraction: float, seed: int, fold: int, unit: str | None = None) -> tuple[Rows, Rows]:
    """Return (train, validation) of rows that come without a validation part.

    Which rows go is drawn by sha256 of (seed, fold, position): the same on every machine and version.
    Both parts keep the order of the file.

    Args:
        rows: all training rows.
        fraction: of the rows, or of the units.
        seed, fold: of the run.
        unit: column whose equal values stay together (a question's snippets), drawn by the order of first occurrence.

    Raises:
        UserError: one of the two parts would be empty.
    """
    names = range(len(rows)) if unit is None else rows[unit]
    number_of = {name: number for number, name in enumerate(dict.fromkeys(names))}
    count = round(len(number_of) * fraction)
    if not 0 < count < len(number_of):
        raise UserError(
            f"validation_fraction {fraction} of {len(number_of)} training {'questions' if unit else 'rows'} leaves an "
            "empty part: change it"
        )

    def drawn(index: int) -> bytes:
        return hashlib.sha256(f"validation {seed} {fold} {index}".encode()).digest()

    chosen = set(sorted(number_of.values(), key=drawn)[:count])
    taken = [index for index, name in enumerate(names) if number_of[name] in chosen]
    kept = [index for index, name in enumerate(names) if number_of[name] not in chosen]
    return rows.take(kept), rows.take(taken)


def _label_names(features: dict[str, Any], task: str) -> list[str] | None:
    """Return the ClassLabel names of the task's label column (None for qa)."""
    if task not in LABEL_COLUMN:
        return None
    feature = features[LABEL_COLUMN[task]]
    if isinstance(feature, list):
        feature = feature[0]
    feature = feature.get("feature", feature)
    if "names" not in feature:
        raise UserError(f"the column {LABEL_COLUMN[task]} is not a ClassLabel: prepare the dataset again")
    return list(feature["names"])
