"""What every layout's reader takes and returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.kinds import kind_of
from compactbio.kinds.kind import Kind, Layout
from compactbio.tasks.texts import describe_neighbours

Columns = dict[str, list[Any]]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Definition:
    """One entry of the configuration's `datasets`, as far as its data are concerned."""

    name: str
    kind: Kind
    layout: Layout
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

    splits: dict[str, Columns]  # columns as the kind's record has them, labels as ids
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
    kind = kind_of(value.get("task"), f"{key}.task")
    layout = kind.layout(str(value.get("layout")))
    if layout is None:
        known = ", ".join(layout.name for layout in kind.layouts)
        raise UserError(f"{key}.layout is {value.get('layout')!r}; for task {kind.name} possible are {known}")
    labels = tuple(value.get("labels") or ())
    if kind.labels is not None:
        if len(labels) < 2:
            raise UserError(f"{key}.labels must list the labels of the data, at least two")
        fault = kind.labels.fault(labels)
        if fault is not None:
            raise UserError(f"{key}.labels: {fault}")
    if layout.folds and not value.get("folds"):
        raise UserError(f"{key}.folds must list the numbers of the folds, for example [1, 2, 3]")
    return Definition(
        name=name,
        kind=kind,
        layout=layout,
        folder=data / (value.get("folder") or ""),
        files=dict(value.get("files") or {}),
        labels=labels,
        folds=tuple(value.get("folds") or ()),
        counts={split: counts for split, counts in (value.get("counts") or {}).items() if counts},
        accept_counts=bool(value.get("accept_counts")),
    )
