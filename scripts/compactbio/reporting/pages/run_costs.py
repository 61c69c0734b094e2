"""What a run took: time and GPU-hours of each training, and time, CPU time and memory of the jobs by rule."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compactbio.reporting.pages.training_records import STAGES, Trained
from compactbio.reporting.render import DASH, Block, Document, Entry, Section, number, row

RECORD_COLUMNS = ("stage", "model", "dataset", "seconds", "gpu_hours", "gpus", "processor", "cores")


@dataclass(frozen=True)
class Benchmarked:
    """What Snakemake measured of the jobs of a rule; megabytes of the largest, None where a job was too short."""

    rule: str
    jobs: int
    seconds: float
    cpu_seconds: float
    peak_megabytes: float | None


def read_benchmarks(folder: Path) -> list[Benchmarked]:
    """Return the sums over <folder>/<rule>/**/*.tsv by rule; none where there is no such folder."""
    rules = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [_sum_of(rule.name, sorted(rule.rglob("*.tsv"))) for rule in rules]


def _sum_of(rule: str, files: Sequence[Path]) -> Benchmarked:
    """Return the sum of a rule's benchmark files; the last row of each is the job's own."""
    rows = []
    for file in files:
        with file.open(encoding="utf-8", newline="") as stream:
            rows += list(csv.DictReader(stream, delimiter="\t"))[-1:]
    peaks = [value for row in rows for value in [_measured(row["max_rss"])] if value is not None]
    return Benchmarked(
        rule,
        len(rows),
        sum(_measured(row["s"]) or 0.0 for row in rows),
        sum(_measured(row["cpu_time"]) or 0.0 for row in rows),
        max(peaks, default=None),
    )


def _measured(text: str) -> float | None:
    """Return a number of a benchmark file; Snakemake writes NA or - where it measured nothing."""
    try:
        return float(text)
    except ValueError:
        return None


def costs_document(models: Sequence[str], trained: Sequence[Trained], benchmarks: Sequence[Benchmarked]) -> Document:
    """Return the page: trainings by model and stage, then jobs by rule."""
    names = [*models, *dict.fromkeys(job.model for job in trained if job.model not in models)]
    rows = [_row(name, [job for job in trained if job.model == name]) for name in names]
    rows.append(_row("all", trained))
    on_gpus = any(job.gpu_hours for job in trained)
    notes = [] if on_gpus else ["No training used a GPU: GPU-hours are 0, times are those of processors."]
    models_block = Block(
        "Trainings by model",
        "costs-models",
        ["model", *(f"{stage} {unit}" for stage in STAGES.values() for unit in ("time", "GPU-hours"))],
        rows,
        [*notes, f"{DASH} = none in this run."],
    )
    jobs_block = Block(
        "Jobs by rule",
        "costs-rules",
        ["rule", "jobs", "time", "processor time", "peak memory, MB"],
        [
            row(rule.rule, str(rule.jobs), in_words(rule.seconds), in_words(rule.cpu_seconds), megabytes)
            for rule in benchmarks
            for megabytes in [number(rule.peak_megabytes, 0)]
        ],
    )
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
            "gpus": ", ".join(job.facts["hardware"]["gpus"]),
            "processor": job.facts["hardware"]["processor"],
            "cores": job.facts["hardware"]["cores"],
        }
        for job in trained
    ]


def in_words(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
