"""What every layout's reader takes and returns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.tasks.texts import describe_neighbours

Columns = dict[str, list[Any]]

LAYOUTS_OF_TASK = {
    "ner": ("tagged_words",),
    "re": ("gad", "sentences", "json_lines", "chemprot"),
    "qa": ("bioasq", "squad"),
}
SPLITS = ("train", "validation", "test")
_WORD_LABEL = re.compile(r"O|[BI](-.+)?")


@dataclass(frozen=True)
class Definition:
    """One entry of the configuration's `datasets`, as far as its data are concerned."""

    name: str
    task: str
    layout: str
    folder: Path
    files: dict[str, str]
    labels: tuple[str, ...]
    folds: tuple[int, ...]
    counts: dict[str, dict[str, int]]
    accept_counts: bool

    @property
    def key(self) -> str:
        """Return the configuration key of this data set."""
        return f"datasets.{self.name}"

    @property
    def label_ids(self) -> dict[str, int]:
        """Return each label's id: its place in the configured list, the same on every machine."""
        return {label: number for number, label in enumerate(self.labels)}

    def file(self, split: str) -> Path:
        """Return the path of a split's file.

        Raises:
            UserError: the definition names no file for this split, or the file does not exist.
        """
        key = f"{self.key}.files.{split}"
        if not self.files.get(split):
            raise UserError(f"{key} is missing: name the file of the {split} data")
        path = self.folder / self.files[split]
        if not path.exists():
            raise UserError(f"{path} does not exist{describe_neighbours(path)}. Correct {key}")
        return path

    def splits(self) -> list[str]:
        """Return the splits this definition has files for; train and test must be among them."""
        for split in ("train", "test"):
            self.file(split)
        return [split for split in SPLITS if self.files.get(split)]


@dataclass
class Prepared:
    """A data set in canonical form."""

    splits: dict[str, Columns]  # columns as `schema.features` has them, labels as ids
    counts: dict[str, dict[str, Any]]
    inputs: list[Path]  # the files read
    golden: list[dict[str, Any]] | None = None  # questions and their accepted answers
    copies: dict[str, Path] = field(default_factory=dict)  # further files to keep, by their new name


def parse_definition(name: str, value: Any, data: Path) -> Definition:
    """Return a checked definition from the configuration's mapping; `folder` is joined to `data`.

    Raises:
        UserError: something in the definition is missing or does not fit together.
    """
    key = f"datasets.{name}"
    if not isinstance(value, dict):
        raise UserError(f"{key} must be a mapping, not {type(value).__name__}")
    task, layout = value.get("task"), value.get("layout")
    if task not in LAYOUTS_OF_TASK:
        raise UserError(f"{key}.task is {task!r}; possible are {', '.join(LAYOUTS_OF_TASK)}")
    if layout not in LAYOUTS_OF_TASK[task]:
        raise UserError(f"{key}.layout is {layout!r}; for task {task} possible are {', '.join(LAYOUTS_OF_TASK[task])}")
    labels = tuple(value.get("labels") or ())
    if task != "qa" and len(labels) < 2:
        raise UserError(f"{key}.labels must list the labels of the data, at least two")
    if task == "ner":
        _check_word_labels(labels, key)
    if layout == "gad" and not value.get("folds"):
        raise UserError(f"{key}.folds must list the numbers of the folds, for example [1, 2, 3]")
    return Definition(
        name=name,
        task=task,
        layout=layout,
        folder=data / (value.get("folder") or ""),
        files=dict(value.get("files") or {}),
        labels=labels,
        folds=tuple(value.get("folds") or ()),
        counts={split: counts for split, counts in (value.get("counts") or {}).items() if counts},
        accept_counts=bool(value.get("accept_counts")),
    )


def _check_word_labels(labels: Iterable[str], key: str) -> None:
    """Refuse labels that are not of the IOB2 scheme, which entity scores rest on."""
    names = set(labels)
    wrong = sorted(label for label in names if not _WORD_LABEL.fullmatch(label))
    wrong += sorted(label for label in names if label.startswith("I") and f"B{label[1:]}" not in names)
    if wrong or "O" not in names:
        raise UserError(
            f"{key}.labels must be O and B, I or B-<type>, I-<type>, each I with its B; "
            f"wrong: {', '.join(wrong) or 'O is missing'}"
        )
