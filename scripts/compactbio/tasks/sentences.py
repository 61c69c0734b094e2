"""Sentences with one label each: BioBERT's GAD folds, plain files of a user's own, and SciBERT's JSON lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.tasks.counts import count_shared
from compactbio.tasks.prepared import Columns, Definition, Prepared
from compactbio.tasks.texts import check_label, read_json_rows, read_rows

_GAD_HEADER = ["index", "sentence", "label"]
_PLAIN_HEADER = ["sentence", "label"]
_JSON_KEYS = ("text", "label")


def read_gad(definition: Definition) -> Prepared:
    """Return the chosen folds of a data set in BioBERT's GAD layout; the column `fold` says of which fold a row is.

    Each fold is a folder with its number as name: `train.tsv` without header (sentence, label), `test.tsv` with
    the header index, sentence, label. `dev.tsv` is empty there and not read: validation data are cut from train
    when a seed is known.
    """
    splits = {"train": _empty_columns(), "test": _empty_columns()}
    by_fold: dict[str, list[int]] = {"train": [], "test": []}
    shared: list[int] = []
    inputs = []
    for fold in definition.folds:
        folder = definition.folder / str(fold)
        train = _label_rows(_read_gad_train(folder / "train.tsv"), definition)
        test = _label_rows(_read_gad_test(folder / "test.tsv"), definition)
        inputs += [folder / "train.tsv", folder / "test.tsv"]
        shared.append(count_shared({text for text, _ in train}, (text for text, _ in test)))
        for split, rows in (("train", train), ("test", test)):
            _extend(splits[split], rows, fold)
            by_fold[split].append(len(rows))
    counts = {split: count_labels(splits[split], definition.labels) for split in splits}
    for split, sizes in by_fold.items():
        counts[split] |= {
            "folds": len(sizes),
            "smallest_fold": min(sizes),
            "largest_fold": max(sizes),
            "rows_by_fold": dict(zip(map(str, definition.folds), sizes, strict=True)),
        }
    counts["test"]["also_in_train"] = sum(shared)
    return Prepared(splits, counts, inputs)


def read_plain(definition: Definition) -> Prepared:
    """Return a data set of plain files: sentence, tab, label on a line; a header of these two words is skipped."""
    return _read_splits(definition, _read_plain_rows)


def read_json_lines(definition: Definition) -> Prepared:
    """Return a data set of JSON lines as SciBERT's: an object with text and label on a line, other keys ignored."""
    return _read_splits(definition, lambda path: read_json_rows(path, _JSON_KEYS))


def count_labels(columns: Columns, labels: Sequence[str]) -> dict[str, Any]:
    """Return {"rows": n, "labels": {label: n}} of one split."""
    by_id = Counter(columns["label"])
    return {
        "rows": len(columns["label"]),
        "labels": {label: by_id[number] for number, label in enumerate(labels)},
    }


def _read_splits(definition: Definition, read: Callable[[Path], list[tuple[int, list[str]]]]) -> Prepared:
    """Return a data set with a file per split, whose (line number, [sentence, label]) `read` returns."""
    splits, inputs = {}, []
    for split in definition.splits():
        path = definition.file(split)
        splits[split] = _empty_columns()
        _extend(splits[split], _label_rows((path, read(path)), definition), 0)
        inputs.append(path)
    counts = {split: count_labels(columns, definition.labels) for split, columns in splits.items()}
    counts["test"]["also_in_train"] = count_shared(set(splits["train"]["sentence"]), splits["test"]["sentence"])
    return Prepared(splits, counts, inputs)


def _empty_columns() -> Columns:
    """Return the columns of a sentence data set without rows."""
    return {"id": [], "fold": [], "sentence": [], "label": []}


def _extend(columns: Columns, rows: list[tuple[str, int]], fold: int) -> None:
    """Append (sentence, label id) rows of one file; `id` is the position in that file."""
    columns["id"] += range(len(rows))
    columns["fold"] += [fold] * len(rows)
    columns["sentence"] += [sentence for sentence, _ in rows]
    columns["label"] += [label for _, label in rows]


def _read_plain_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the rows of a plain file without its header, if it has one."""
    rows = read_rows(path, 2, "sentence and label")
    return rows[1:] if rows and rows[0][1] == _PLAIN_HEADER else rows


def _read_gad_train(path: Path) -> tuple[Path, list[tuple[int, list[str]]]]:
    """Return the rows of a fold's train file."""
    return path, read_rows(path, 2, "sentence and label")


def _read_gad_test(path: Path) -> tuple[Path, list[tuple[int, list[str]]]]:
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
    return path, [(number, cells[1:]) for number, cells in rows[1:]]


def _label_rows(source: tuple[Path, list[tuple[int, list[str]]]], definition: Definition) -> list[tuple[str, int]]:
    """Return (sentence, label id) of numbered rows.

    Raises:
        UserError: a sentence is empty, a label unknown, or there is no row.
    """
    path, rows = source
    known, key = definition.label_ids, f"{definition.key}.labels"
    labelled = []
    for number, (sentence, label) in rows:
        sentence = sentence.strip()
        if not sentence:
            raise UserError(f"{path}, line {number}: the sentence is empty: remove the line or fill it")
        labelled.append((sentence, check_label(label.strip(), known, path, number, key)))
    if not labelled:
        raise UserError(f"{path} holds no sentence")
    return labelled
