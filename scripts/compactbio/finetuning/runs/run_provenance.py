"""Where the results of a model on a dataset come from: the record of each run, kept with it, put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compactbio.files import read_json, sha256_of_file
from compactbio.finetuning.runs.planning import PlannedRun
from compactbio.finetuning.runs.records import TrainingRecord
from compactbio.finetuning.runs.run_files import PREDICTIONS
from compactbio.provenance import PROVENANCE, Provenance, gather_provenance
from compactbio.settings.finetuning_run import FinetuningRun


def provenance_record(
    settings: FinetuningRun,
    digests: dict[str, str],
    planned: Sequence[PlannedRun],
    trials: Sequence[PlannedRun],
    training: TrainingRecord,
    output: Path,
) -> Provenance:
    """Return the content of provenance.json of finished runs.

    Code, packages and hardware of a run are those of the try that finished it, which may have been another process
    than this one. `seconds` counts the runs whose predictions are published, `gpu_hours` the grid's trials too.

    Args:
        settings: content of run.yaml.
        digests: of model and dataset.
        planned, trials: the runs, and the points of a grid; all finished.
        training: content of training.json.
        output: the folder that holds predictions.parquet.
    """
    runs = {run.name: _record_of(run) for run in planned}
    tried = {run.fingerprint: _record_of(run) for run in trials}
    everything = {run.fingerprint: _record_of(run) for run in (*planned, *trials)}
    return gather_provenance(
        digests,
        training["seconds"],
        model=settings["model"],
        dataset=settings["dataset"],
        fingerprint=training["fingerprint"],
        outputs={PREDICTIONS: sha256_of_file(output / PREDICTIONS)},
        seeds=sorted({run.seed for run in planned}),
        steps=training["steps"],
        gpu_hours=round(sum(record.get("gpu_hours", 0.0) for record in everything.values()), 5),
        runs=runs,
        trials=tried,
    )


def _record_of(run: PlannedRun) -> dict[str, Any]:
    """Return a finished run's own record, or what is known of one that an older version left without it."""
    path = run.finished / PROVENANCE
    if not path.is_file():
        return {"fingerprint": run.fingerprint, "seed": run.seed, "fold": run.fold}
    record = read_json(path)
    del record["inputs"]
    return record
