"""Sentences with one label each: BioBERT's GAD folds, plain files of a user's own, and SciBERT's JSON lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.tasks.prepared import Columns, Counts, Definition, Prepared
from compactbio.tasks.texts import check_label, read_json_rows, read_lines, read_rows

_GAD_HEADER = ["index", "sentence", "label"]
_PLAIN_HEADER = ["sentence", "label"]
_JSON_KEYS = ("text", "label")

NumberedRows = list[tuple[int, list[str]]]  # line number, [sentence, label]


def read_gad(definition: Definition) -> Prepared:
    """Return the chosen folds of a data set in BioBERT's GAD layout; the column `fold` says of which fold a row is.

    Each fold is a folder with its number as name: `train.tsv` without header (sentence, label), `test.tsv` with
    the header index, sentence, label. `dev.tsv` is empty there and not read: validation data are cut from train
    when a seed is known.
    """
    splits = {"train": _empty_columns(), "test": _empty_columns()}
    inputs = []
    for fold in definition.folds:
        paths = {split: definition.folder / str(fold) / f"{split}.tsv" for split in splits}
        rows = {"train": read_rows(paths["train"], 2, "sentence and label"), "test": _read_gad_test(paths["test"])}
        for split, path in paths.items():
            _extend(splits[split], rows[split], definition, path, fold)
            inputs.append(path)
    counts = {}
    for split, columns in splits.items():
        sizes = Counter(map(str, columns["fold"]))
        counts[split] = {
            **count_labels(columns["label"], definition.labels),
            "folds": len(sizes),
            "smallest_fold": min(sizes.values()),
            "largest_fold": max(sizes.values()),
            "rows_by_fold": dict(sizes),
        }
    return Prepared(splits, counts, inputs)


def read_plain(definition: Definition) -> Prepared:
    """Return a data set of plain files: sentence, tab, label on a line; a header of these two words is skipped.

    An index may stand before them, on every line of a file.
    """

    def read(path: Path) -> NumberedRows:
        indexed = read_lines(path)[0].count("\t") == len(_GAD_HEADER) - 1
        rows = read_rows(path, *((3, "index, sentence and label") if indexed else (2, "sentence and label")))
        rows = [(number, cells[-2:]) for number, cells in rows]
        return rows[1:] if rows and rows[0][1] == _PLAIN_HEADER else rows

    return _read_splits(definition, read)


def read_json_lines(definition: Definition) -> Prepared:
    """Return a data set of JSON lines as SciBERT's: an object with text and label on a line, other keys ignored."""
    return _read_splits(definition, lambda path: read_json_rows(path, _JSON_KEYS))


def count_labels(ids: Sequence[Any], labels: Sequence[str]) -> Counts:
    """Return {"rows": n, "labels": {label: n}} of one split, whose rows have one id or a list of them."""
    by_id = Counter(one for row in ids for one in (row if isinstance(row, list) else [row]))
    return {
        "rows": len(ids),
        "labels": {label: by_id[number] for number, label in enumerate(labels)},
    }


def _read_splits(definition: Definition, read: Callable[[Path], NumberedRows]) -> Prepared:
    """Return a data set with a file per split, whose rows `read` returns."""
    splits, files = {}, definition.split_files()
    for split, path in files.items():
        splits[split] = _empty_columns()
        _extend(splits[split], read(path), definition, path)
    counts = {split: count_labels(columns["label"], definition.labels) for split, columns in splits.items()}
    return Prepared(splits, counts, list(files.values()))


def _empty_columns() -> Columns:
    """Return the columns of a sentence data set without rows."""
    return {"id": [], "fold": [], "sentence": [], "label": []}


def _extend(columns: Columns, rows: NumberedRows, definition: Definition, path: Path, fold: int = 0) -> None:
    """Append the rows of one file, `id` being the position in that file.

    Raises:
        UserError: a sentence is empty, a label unknown, or there is no row.
    """
    known, key = definition.label_ids, f"{definition.key}.labels"
    sentences = []
    for number, (sentence, label) in rows:
        sentences.append(sentence.strip())
        if not sentences[-1]:
            raise UserError(f"{path}, line {number}: the sentence is empty: remove the line or fill it")
        columns["label"].append(check_label(label.strip(), known, f"{path}, line {number}", key))
    if not rows:
        raise UserError(f"{path} holds no sentence")
    columns["id"] += range(len(rows))
    columns["fold"] += [fold] * len(rows)
    columns["sentence"] += sentences


def _read_gad_test(path: Path) -> NumberedRows:
    """Return the rows of a fold's test file without header and index.

    Raises:
        UserError: the header is another one, or an index occurs twice.
    """
    rows = read_rows(path, 3, "index, sentence and label")
    if not rows or rows[0][1] != _GAD_HEADER:
        raise UserError(f"{path} must begin with the header index, sentence, label, separated by tabs")
    lines_of: dict[str, int] = {}
    for number, (index, _, _) in rows[1:]:
        if index in lines_of:
            raise UserError(f"{path}, line {number}: index {index} stands already on line {lines_of[index]}")
        lines_of[index] = number
    return [(number, cells[1:]) for number, cells in rows[1:]]
