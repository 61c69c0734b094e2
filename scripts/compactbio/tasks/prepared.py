"""What every layout's reader takes and returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.kinds import kind_of
from compactbio.kinds.kind import Kind, Layout
from compactbio.settings.datasets import data_faults
from compactbio.tasks.texts import describe_neighbours

Columns = dict[str, list[Any]]
Counts = dict[str, Any]

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
    columns: dict[str, Any]
    split_seed: int | None
    scheme: str | None
    separator: str | None
    types: tuple[str, ...]
    offsets: str | None
    sentences: str | None
    misfits: dict[str, str]

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
            UserError: the file does not exist.
        """
        path = self.folder / self.files[split]
        if not path.exists():
            raise UserError(f"{path} does not exist{describe_neighbours(path)}. Correct {self.key}.files.{split}")
        return path

    def split_files(self) -> dict[str, Path]:
        """Return the files of the splits that this definition names some for."""
        return {split: self.file(split) for split in SPLITS if self.files.get(split)}


@dataclass
class Prepared:
    """A data set in canonical form."""

    splits: dict[str, Columns]  # columns as the kind's record has them, labels as ids
    counts: dict[str, Counts]
    inputs: list[Path]  # the files read
    golden: list[dict[str, Any]] | None = None  # questions and their accepted answers
    copies: dict[str, Path] = field(default_factory=dict)  # further files to keep, by their new name
    notes: dict[str, Any] = field(default_factory=dict)  # what the manifest says too, such as how splits were drawn
    places: dict[str, list[Any]] = field(default_factory=dict)  # where the rows stand in their documents, see places.py


def parse_definition(name: str, value: Any, data: Path) -> Definition:
    """Return a checked definition from the configuration's mapping; `folder` is joined to `data`.

    Raises:
        UserError: something in the definition is missing or does not fit together.
    """
    key = f"datasets.{name}"
    if not isinstance(value, dict):
        raise UserError(f"{key} must be a mapping, not {type(value).__name__}")
    kind = kind_of(value.get("task"), f"{key}.task")
    layout = kind.layout(value.get("layout"))
    faults = list(data_faults(key, kind, value))
    if layout is None or faults:
        raise UserError("; ".join(faults))
    return Definition(
        name=name,
        kind=kind,
        layout=layout,
        folder=data / (value.get("folder") or ""),
        files=dict(value.get("files") or {}),
        labels=tuple(value.get("labels") or ()),
        folds=tuple(value.get("folds") or ()),
        counts={split: counts for split, counts in (value.get("counts") or {}).items() if counts},
        accept_counts=bool(value.get("accept_counts")),
        columns=dict(value.get("columns") or {}),
        split_seed=value.get("split_seed"),
        scheme=value.get("scheme"),
        separator=value.get("separator"),
        types=tuple(value.get("types") or ()),
        offsets=value.get("offsets"),
        sentences=value.get("sentences"),
        misfits=dict(value.get("misfits") or {}),
    )
