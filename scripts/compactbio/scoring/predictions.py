"""Stored predictions of one run, checked against the test data they were made for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from compactbio.errors import UserError, reading
from compactbio.provenance import require_written


class PredictionFile:
    """predictions.parquet of one (model, dataset).

    A run is read at a time, so that memory does not grow with their number; where each run has row groups of its
    own, the others' are skipped by their statistics.
    """

    def __init__(self, path: Path, columns: Sequence[str], runs: Sequence[str]) -> None:
        """Check that the file has these columns beside `run`, and exactly the named runs.

        Raises:
            UserError: it is missing, is not Parquet, lacks a column or a run, or holds another run.
        """
        self.path = path
        self._columns = columns
        require_written(path)
        again = "finetune_model has to make it again"
        with reading(path, again):
            names = pq.read_schema(path).names
            missing = [name for name in ("run", *self._columns) if name not in names]
            if missing:
                raise UserError(f"{path} has no column {', '.join(missing)}: {again}")
            stored = set(pc.unique(pq.read_table(path, columns=["run"]).column("run")).to_pylist())
        lacking = [run for run in runs if run not in stored]
        if lacking:
            raise UserError(
                f"{path} has no predictions of run {', '.join(lacking)}, which its run.yaml names: "
                "let finetune_model finish"
            )
        if len(stored) > len(runs):
            raise UserError(
                f"{path} holds run {', '.join(sorted(map(str, stored - set(runs))))}, which its run.yaml does not "
                "name: finetune_model has to make it again"
            )

    def read_run(self, run: str) -> pa.Table:
        """Return the rows of one run without nulls or NaN, each column in one chunk.

        Raises:
            UserError: a value is missing or is NaN.
        """
        with reading(self.path, "finetune_model has to make it again"):
            table = pq.read_table(self.path, columns=list(self._columns), filters=[("run", "=", run)]).combine_chunks()
            table.validate(full=True)
        for name in self._columns:
            values = one_array(table, name)
            nulls = values.null_count
            if pa.types.is_nested(values.type):
                values = values.flatten()
                nulls += values.null_count
            if nulls:
                raise UserError(f"{self.path}: column {name} of run {run} has {nulls} empty values")
            if pa.types.is_floating(values.type) and pc.any(pc.is_nan(values)).as_py():
                raise UserError(
                    f"{self.path}: column {name} of run {run} has NaN values: the training diverged; look at its "
                    "metrics.jsonl, lower the learning rate or use precision fp32"
                )
        return table


def in_order(table: pa.Table, expected: Sequence[int], what: str) -> pa.Table:
    """Return the rows of a run in the order of `expected` ids, each exactly once.

    `what` are file and run, for messages.

    Raises:
        UserError: an id is missing, occurs twice, or does not belong to the test data.
    """
    stored = table.column("id").to_numpy()
    wanted = np.asarray(expected, np.int64)
    if np.array_equal(stored, wanted):
        return table
    places = np.argsort(stored, kind="stable")
    ids = stored[places]
    repeated = ids[1:][ids[1:] == ids[:-1]]
    if len(repeated):
        raise UserError(f"{what}: sentence {repeated[0]} is predicted twice: run finetune_model again")
    absent = np.setdiff1d(wanted, ids)
    if len(absent):
        raise UserError(
            f"{what}: {len(absent)} of {len(wanted)} test sentences have no prediction, the first is id {absent[0]}: "
            "run finetune_model again"
        )
    unknown = np.setdiff1d(ids, wanted)
    if len(unknown):
        raise UserError(
            f"{what}: {len(unknown)} predicted sentences are not in the test data, the first is id {unknown[0]}: "
            "run finetune_model again on these data"
        )
    return table.take(pa.array(places[np.searchsorted(ids, wanted)]))


def one_array(table: pa.Table, name: str) -> Any:
    """Return a column as one Arrow array."""
    column = table.column(name)
    return column.combine_chunks() if column.num_chunks else pa.array([], column.type)
