"""Units of all models on a dataset, read from score_model's files and laid beside each other by test example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from compactbio.errors import UserError, reading
from compactbio.kinds import KINDS
from compactbio.provenance import require_written


@dataclass
class DatasetUnits:
    """What a headline metric is made of on one dataset; the metric of a run is a function of its sums."""

    task: str
    dataset: str
    sizes: list[int]  # the number of test examples of each fold; one number where there are no folds
    # By protocol and model, for each fold [examples, runs of the fold, parts]; see `kinds.counts.Counts`.
    counts: dict[tuple[str, str], list[np.ndarray]] = field(default_factory=dict)
    # By protocol and model, how many gold entities, positives or questions were looked for. Under the reference
    # protocol of named entities the vocabulary decides it, and models that differ in it do not compare.
    gold: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def is_folded(self) -> bool:
        """Whether each run has test examples of its own."""
        return len(self.sizes) > 1

    def metric(self, sums: np.ndarray) -> np.ndarray:
        """Return the metric of sums over examples, [..., parts]."""
        return KINDS[self.task].counts.headline(sums.astype(np.float64))

    def models(self, protocol: str) -> list[str]:
        """Return the models with units under a protocol."""
        return [model for name, model in self.counts if name == protocol]

    def runs(self, protocol: str, model: str) -> int:
        """Return a model's number of runs."""
        return sum(part.shape[1] for part in self.counts[protocol, model])


def files_by_dataset(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Return for each dataset in files of units those that hold it, in their order.

    Raises:
        UserError: a file is missing or is none of score_model's.
    """
    files: dict[str, list[Path]] = {}
    for path in paths:
        for dataset in pc.unique(_read(path, columns=["dataset"]).column("dataset").cast(pa.string())).to_pylist():
            files.setdefault(dataset, []).append(path)
    return files


def read_dataset(paths: Sequence[Path], dataset: str) -> DatasetUnits:
    """Return the units of a dataset from the files of the models that have it.

    Raises:
        UserError: a file is none of score_model's, two are of one model, or their test examples differ.
    """
    examples: dict[int, pa.Array] = {}  # of each fold, as the first model has them
    units = DatasetUnits("", dataset, [])
    for path in paths:
        table = _read(path, filters=[("dataset", "=", dataset)])
        units.task, model = (table.column(name)[0].as_py() for name in ("task", "model"))
        runs = _runs(table, units.task)
        if not units.counts:
            examples = {run.fold: run.examples for run in runs}
            units.sizes = [len(names) for names in examples.values()]
        folds = {run.fold for run in runs}
        if folds != examples.keys() or any(not run.examples.equals(examples[run.fold]) for run in runs):
            raise UserError(
                f"{dataset}: {path} and {paths[0]} are of different test examples, so nothing can be compared: "
                "run score_model on both again"
            )
        for protocol in dict.fromkeys(run.protocol for run in runs):
            here = [run for run in runs if run.protocol == protocol]
            if (protocol, model) in units.counts:
                raise UserError(f"{path}: a second file of units of {model}; give one")
            units.gold[protocol, model] = sum({run.fold: run.gold for run in here}.values())
            units.counts[protocol, model] = [
                np.stack([run.parts for run in here if run.fold == fold], axis=1) for fold in examples
            ]
    return units


class _Run(NamedTuple):
    """One run under one protocol: ids of its test examples, their [examples, parts], and its gold total."""

    protocol: str
    fold: int
    examples: pa.Array
    parts: np.ndarray
    gold: int


def _runs(table: pa.Table, task: str) -> list[_Run]:
    """Return the runs in the rows of one model on one dataset."""
    runs = []
    parts = _parts(table, task)
    counted = KINDS[task].counts.gold
    gold = np.ones(len(table)) if counted is None else table.column(counted).to_numpy()
    keys = [table.column(name).cast(pa.string()).to_numpy() for name in ("protocol", "run")]
    folds = table.column("fold").to_numpy()
    changes = np.flatnonzero((keys[0][1:] != keys[0][:-1]) | (keys[1][1:] != keys[1][:-1])) + 1
    for begin, end in pairwise([0, *changes.tolist(), len(table)]):
        names = table.column("example").slice(begin, end - begin).combine_chunks()
        total = int(gold[begin:end].sum())
        runs.append(_Run(str(keys[0][begin]), int(folds[begin]), names, parts[begin:end], total))
    return runs


def _parts(table: pa.Table, task: str) -> np.ndarray:
    """Return what the headline metric is made of, [rows, parts]; see `kinds.counts.Counts`."""
    counts = KINDS[task].counts
    columns = [
        sum(factor * table.column(name).to_numpy() for name, factor in part.items()) if part else np.ones(len(table))
        for part in counts.parts
    ]
    return np.stack(columns, axis=1).astype(counts.precision)


def _read(path: Path, **selection: Any) -> pa.Table:
    """Return rows and columns of a file of units."""
    require_written(path)
    with reading(path, "score_model has to make it again"):
        table = pq.read_table(path, **selection)
        table.validate(full=True)
        return table
