"""Units: for each test example the counts that add up to the headline metric, so that examples can be resampled.

An example is what is drawn as a whole: a sentence (named entities, relations) or a question.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from compactbio.files import replacing_file
from compactbio.kinds import KINDS
from compactbio.kinds.columns import arrow_schema

_NAME = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        *((name, _NAME) for name in ("task", "dataset", "model", "run", "protocol")),
        ("fold", pa.int16()),  # 0 where a dataset has no folds
        ("example", pa.string()),  # the id in the prepared dataset, unique within a fold
        *arrow_schema({name: kind for one in KINDS.values() for name, kind in one.counts.columns.items()}),
    ]
)


class Units(NamedTuple):
    """One run under one protocol: ids of the test examples, and the counts of its kind, [examples, counts]."""

    examples: list[str]
    counts: np.ndarray


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
    counts = dict(zip(KINDS[run.task].counts.columns, run.units.counts.T, strict=True))
    columns = []
    for field in SCHEMA:
        if field.type == _NAME:
            name = pa.array([getattr(run, field.name)])
            columns.append(pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), name))
        elif field.name == "fold":
            columns.append(pa.array(np.full(rows, run.fold, np.int16)))
        elif field.name == "example":
            columns.append(pa.array(run.units.examples, field.type))
        elif field.name in counts:
            columns.append(pa.array(counts[field.name]).cast(field.type))
        else:
            columns.append(pa.nulls(rows, field.type))
    return pa.Table.from_arrays(columns, schema=SCHEMA)
