"""What a run took: time and GPU-hours of each training, and time, CPU time and memory of the jobs by rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compactbio.reporting.pages.training_records import STAGES, Trained
from compactbio.reporting.render import DASH, Block, Document, Entry, Section, number, row

if TYPE_CHECKING:
    import pandas as pd

RECORD_COLUMNS = ("stage", "model", "dataset", "seconds", "gpu_hours", "gpus", "processor", "cores")


def read_benchmarks(folder: Path) -> pd.DataFrame:
    """Return what Snakemake measured, a row for each rule, from the last rows (the jobs' own) of <rule>/**/*.tsv.

    Columns: rule; jobs; s and cpu_time, seconds summed; max_rss, megabytes of the largest, NaN where none was measured.
    """
    import pandas as pd

    files = sorted(folder.glob("*/**/*.tsv"))
    if not files:
        return pd.DataFrame(columns=["rule", "jobs", "s", "cpu_time", "max_rss"])
    jobs = pd.concat(
        pd.read_csv(file, sep="\t", na_values="-").tail(1).assign(rule=file.relative_to(folder).parts[0])
        for file in files
    )
    sums = {"jobs": ("rule", "size"), "s": ("s", "sum"), "cpu_time": ("cpu_time", "sum"), "max_rss": ("max_rss", "max")}
    return jobs.groupby("rule").agg(**sums).reset_index()


def costs_document(models: Sequence[str], trained: Sequence[Trained], benchmarks: pd.DataFrame) -> Document:
    """Return the page: trainings by model and stage, then jobs by rule."""
    names = [*models, *dict.fromkeys(job.model for job in trained if job.model not in models)]
    rows = [_row(name, [job for job in trained if job.model == name]) for name in names]
    rows.append(_row("all", trained))
    on_gpus = any(job.gpu_hours for job in trained)
    notes = [] if on_gpus else ["No training used a GPU: GPU-hours are 0, times are those of CPUs."]
    notes.append(f"{DASH} = none in this run.")
    header = ["model", *(f"{stage} {unit}" for stage in STAGES.values() for unit in ("time", "GPU-hours"))]
    models_block = Block("Trainings by model", "costs-models", header, rows, notes)
    jobs = [
        row(rule, str(count), in_words(seconds), in_words(cpu), number(None if math.isnan(peak) else peak, 0))
        for rule, count, seconds, cpu, peak in benchmarks.itertuples(index=False)
    ]
    header = ["rule", "jobs", "time", "CPU time", "peak memory, MB"]
    jobs_block = Block("Jobs by rule", "costs-rules", header, jobs)
    text = (
        "Time and GPU-hours of a training are those of its provenance.json, all tries together; a model's fine-tuning "
        "is the sum over its datasets and runs. Time of jobs by rule is what Snakemake measured of each job's last "
        "try, start-up included, summed over jobs that may have run side by side. Only rules that do heavy work are "
        "measured."
    )
    return Document("Costs", [text], [Section("", [], [models_block, jobs_block])])


def _row(name: str, jobs: Sequence[Trained]) -> list[Entry]:
    """Return a row: time and GPU-hours of each stage."""
    texts = [name]
    for stage in STAGES:
        here = [job for job in jobs if job.stage == stage]
        texts.append(in_words(sum(job.facts["seconds"] for job in here)) if here else DASH)
        texts.append(number(sum(job.gpu_hours for job in here)) if here else DASH)
    return row(*texts)


def costs_records(trained: Iterable[Trained]) -> list[dict[str, object]]:
    """Return one tidy row per training."""
    return [
        {
            "stage": job.stage,
            "model": job.model,
            "dataset": job.dataset,
            "seconds": job.facts["seconds"],
            "gpu_hours": job.gpu_hours,
            **job.facts["hardware"],
            "gpus": ", ".join(job.facts["hardware"]["gpus"]),
        }
        for job in trained
    ]


def in_words(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
