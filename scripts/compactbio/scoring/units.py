"""Units: for each test example the counts that add up to the headline metric, so that examples can be resampled.

An example is what is drawn as a whole: a sentence (named entities, relations), a question, or a document.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from compactbio.files import replacing_file
from compactbio.kinds import KINDS
from compactbio.kinds.columns import arrow_schema

_NAMES = ("task", "dataset", "model", "run", "protocol")
SCHEMA = pa.schema(
    [
        *((name, pa.dictionary(pa.int32(), pa.string())) for name in _NAMES),
        ("fold", pa.int16()),  # 0 where a dataset has no folds
        ("example", pa.string()),  # the id in the prepared dataset, unique within a fold
        *arrow_schema({name: kind for one in KINDS.values() for name, kind in one.counts.columns.items()}),
    ]
)


class Units(NamedTuple):
    """One run under one protocol: ids of the test examples, and the counts of its kind, [examples, counts]."""

    examples: list[str]
    counts: np.ndarray

    @classmethod
    def of_groups(cls, groups: Sequence[str], counts: np.ndarray) -> Units:
        """Return units of rows that are drawn together, such as those of a document: their counts added.

        Args:
            groups: of each row, which one it is in.
            counts: int64 [rows, counts].
        """
        numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
        added = np.zeros((len(numbers), counts.shape[1]), counts.dtype)
        np.add.at(added, [numbers[group] for group in groups], counts)
        return cls(list(numbers), added)


class RunUnits(NamedTuple):
    """Units and where they belong."""

    task: str
    dataset: str
    model: str
    run: str
    fold: int
    protocol: str
    units: Units


def write_units(path: Path, runs: Iterable[RunUnits]) -> None:
    """Write units as Parquet, a row per run, protocol and example; the runs of a dataset stand together.

    Counts of the other kinds of task are null.
    """
    with replacing_file(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
        for _, group in groupby(runs, key=lambda run: run.dataset):
            writer.write_table(pa.concat_tables([_table(run) for run in group]).unify_dictionaries())


def _table(run: RunUnits) -> pa.Table:
    """Return the rows of one run under one protocol."""
    rows = len(run.units.examples)
    values = {name: pa.repeat(getattr(run, name), rows) for name in _NAMES}
    values |= {"fold": pa.repeat(run.fold, rows), "example": pa.array(run.units.examples, pa.string())}
    for name, counts in zip(KINDS[run.task].counts.columns, run.units.counts.T, strict=True):
        values[name] = pa.array(counts)
    columns = [
        values[field.name].cast(field.type) if field.name in values else pa.nulls(rows, field.type) for field in SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)
