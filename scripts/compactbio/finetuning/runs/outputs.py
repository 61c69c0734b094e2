"""What a fine-tuning publishes of its finished runs: predictions, metrics, kept weights, training.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compactbio.files import read_json, replacing_file, sha256_of_value, write_json
from compactbio.finetuning.runs.kept_weights import publish_weights
from compactbio.finetuning.runs.planning import PlannedRun
from compactbio.finetuning.runs.run_files import METRICS, PREDICTIONS, RESULT
from compactbio.settings.results import MODEL, Finetuning


def publish(
    planned: list[PlannedRun], task: str, output: Path, grid: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Write predictions.parquet, metrics.jsonl, kept weights and training.json of finished runs; return training.json.

    Args:
        planned: the runs.
        task: ner, re or qa.
        output: the folder to write to.
        grid: the points that were tried, from `grid.choose_point`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from compactbio.finetuning.kinds.tables import with_run

    results = [read_json(run.finished / RESULT) for run in planned]
    tables = [with_run(pq.read_table(run.finished / PREDICTIONS), run.name, task) for run in planned]
    with replacing_file(output / PREDICTIONS) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary, compression="zstd")
    with replacing_file(output / METRICS) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for run in planned:
            for line in (run.finished / METRICS).read_text(encoding="utf-8").splitlines():
                stream.write(json.dumps({"run": run.name, **json.loads(line)}) + "\n")
    training = {
        "fingerprint": sha256_of_value([run.fingerprint for run in planned]),
        "steps": sum(result["steps"] for result in results),
        "seconds": round(sum(result["seconds"] for result in results), 3),
        "hyperparameters": planned[0].hyperparameters,
        "grid": grid or [],
        "runs": [{"run": run.name, **result} for run, result in zip(planned, results, strict=True)],
        "weights": publish_weights(planned[0], output / MODEL),
    }
    write_json(Finetuning(output).training, training)
    return training
