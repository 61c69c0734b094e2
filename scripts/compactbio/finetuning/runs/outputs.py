"""What a fine-tuning publishes of its finished runs: predictions, metrics, kept weights, training.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compactbio.files import replacing_file, sha256_of_value
from compactbio.finetuning.runs.kept_weights import publish_weights
from compactbio.finetuning.runs.planning import PlannedRun
from compactbio.finetuning.runs.records import (
    GridPoint,
    NamedEpochLine,
    TrainingRecord,
    read_epochs,
    read_result,
    write_epochs,
    write_training,
)
from compactbio.finetuning.runs.run_files import PREDICTIONS
from compactbio.kinds import kind_of
from compactbio.kinds.columns import arrow_schema
from compactbio.settings.results import Finetuning

if TYPE_CHECKING:
    import pyarrow as pa


def publish(planned: Sequence[PlannedRun], task: str, output: Path, grid: Sequence[GridPoint] = ()) -> TrainingRecord:
    """Write predictions.parquet, metrics.jsonl, kept weights and training.json of finished runs; return training.json.

    Args:
        planned: the runs.
        task: their kind.
        output: the folder to write to.
        grid: the points that were tried, from `grid.choose_point`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    published = Finetuning(output)
    results = [read_result(run.finished) for run in planned]
    # read_table would import pyarrow.dataset, and with it pandas
    tables = [with_run(pq.ParquetFile(run.finished / PREDICTIONS).read(), run.name, task) for run in planned]
    with replacing_file(published.predictions) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary, compression="zstd")
    lines: list[NamedEpochLine] = [{"run": run.name, **line} for run in planned for line in read_epochs(run.finished)]
    write_epochs(published.metrics, lines)
    training: TrainingRecord = {
        "fingerprint": sha256_of_value([run.fingerprint for run in planned]),
        "steps": sum(result["steps"] for result in results),
        "seconds": round(sum(result["seconds"] for result in results), 3),
        "hyperparameters": planned[0].hyperparameters,
        "grid": list(grid),
        "runs": [{"run": run.name, **result} for run, result in zip(planned, results, strict=True)],
        "weights": publish_weights(planned[0], published.model.folder),
    }
    write_training(published.training, training)
    return training


def with_run(table: pa.Table, run: str, task: str) -> pa.Table:
    """Return a table of one run with the column `run` first and the types that the kind's record names."""
    import numpy as np
    import pyarrow as pa

    schema = arrow_schema(kind_of(task).predictions.columns)
    # pa.array and pa.scalar would import pandas, a third of what a finished run's program takes
    name, count = run.encode(), len(table)
    ends = np.arange(count + 1, dtype=np.int32) * np.int32(len(name))
    names = pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(name * count))
    return table.add_column(0, "run", names).select(schema.names).cast(schema)
