"""What a fine-tuning publishes of its finished runs: predictions, metrics, kept weights, training.json, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.digests import AGAIN, sha256_of_file
from compactbio.errors import reading
from compactbio.files import replacing_file, sha256_of_value, write_json
from compactbio.finetuning.runs.kept_weights import publish_weights
from compactbio.finetuning.runs.planning import PlannedRun
from compactbio.finetuning.runs.records import (
    PREDICTIONS,
    GridPoint,
    NamedEpochLine,
    TrainingRecord,
    read_epochs,
    read_result,
    write_epochs,
)
from compactbio.kinds import kind_of
from compactbio.kinds.columns import arrow_schema
from compactbio.provenance import PROVENANCE, Provenance, gather_provenance, read_provenance
from compactbio.settings.results import Finetuning
from compactbio.settings.runs import FinetuningRun

if TYPE_CHECKING:
    import pyarrow as pa


def publish(
    planned: Sequence[PlannedRun], task: str, output: Path, grid: Sequence[GridPoint] = (), notice: str = ""
) -> TrainingRecord:
    """Write predictions.parquet, metrics.jsonl, training.json and any kept weights; return training.json.

    `notice` stands over the card of the kept model.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    published = Finetuning(output)
    results = [read_result(run.finished) for run in planned]
    # read_table would import pyarrow.dataset, and with it pandas
    tables = []
    for run in planned:
        with reading(run.finished / PREDICTIONS, f"delete {run.finished} and {AGAIN}"):
            tables.append(with_run(pq.ParquetFile(run.finished / PREDICTIONS).read(), run.name, task))
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
        "weights": publish_weights(planned[0], published.model.folder, notice),
    }
    write_json(published.training, training)
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


def provenance_record(
    settings: FinetuningRun,
    digests: dict[str, str],
    planned: Sequence[PlannedRun],
    trials: Sequence[PlannedRun],
    training: TrainingRecord,
    output: Path,
) -> Provenance:
    """Return the content of provenance.json: the record of each run, kept with it, put together.

    Code, packages and hardware of a run are those of the try that finished it, which may have been another process
    than this one. `seconds` counts the runs whose predictions are published, `gpu_hours` the grid's trials too.
    """
    made = Finetuning(output)
    runs = {run.name: _record_of(run) for run in planned}
    tried = {run.fingerprint: _record_of(run) for run in trials}
    hours = {record["fingerprint"]: record.get("gpu_hours", 0.0) for record in (*runs.values(), *tried.values())}
    return gather_provenance(
        digests,
        training["seconds"],
        model=settings["model"],
        dataset=settings["dataset"],
        fingerprint=training["fingerprint"],
        outputs={path.name: sha256_of_file(path) for path in (made.predictions, made.metrics, made.training)},
        seeds=sorted({run.seed for run in planned}),
        steps=training["steps"],
        gpu_hours=round(sum(hours.values()), 5),
        runs=runs,
        trials=tried,
    )


def _record_of(run: PlannedRun) -> dict[str, Any]:
    """Return a finished run's own record, or what is known of one that an older version left without it."""
    path = run.finished / PROVENANCE
    if not path.is_file():
        return {"fingerprint": run.fingerprint, "seed": run.seed, "fold": run.fold}
    record: dict[str, Any] = dict(read_provenance(path))
    del record["inputs"]
    return record
