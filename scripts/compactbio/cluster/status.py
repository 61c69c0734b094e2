"""How far each training is: from the files in the results folder and, on a cluster, from the queue."""

from __future__ import annotations

import getpass
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from compactbio.cluster.inventory import ORPHANED, StoredRun, stored_runs
from compactbio.settings.results import FINETUNING, PRETRAINING, Results, TrainingResults
from compactbio.settings.selection import finetuned_datasets, trained_models
from compactbio.slurm import output_of, rows_of
from compactbio.text_tables import aligned_columns
from compactbio.training.progress import read_metrics
from compactbio.training.stalls import UNTIL, read_stall

DONE, RUNNING, QUEUED, INTERRUPTED, FAILED, STALLED, MISSING = STATES = (
    "done",
    "running",
    "queued",
    "interrupted",
    "failed",
    "stalled",
    "missing",
)
QUEUE_COLUMNS = {"number": "%i", "state": "%T", "reason": "%r", "folder": "%Z", "comment": "%k"}
COLUMNS = ("stage", "model", "dataset", "state", "step", "s/step", "ready in", "job", "what to know")


@dataclass(frozen=True)
class QueuedJob:
    """A job that waits or runs."""

    number: str
    state: str
    reason: str
    folder: str
    comment: str

    @property
    def runs(self) -> bool:
        """Return whether it is on a node."""
        return self.state in ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED")


def ask_queue() -> list[QueuedJob]:
    """Return the user's jobs that wait or run."""
    return read_queue(
        output_of("squeue", "--noheader", "--user", getpass.getuser(), "--format", "|".join(QUEUE_COLUMNS.values()))
    )


def read_queue(text: str) -> list[QueuedJob]:
    """Return the jobs in what squeue prints in QUEUE_COLUMNS."""
    return [QueuedJob(**row) for row in rows_of(text, *QUEUE_COLUMNS)]


def job_of(jobs: Iterable[QueuedJob], folder: str, rule: str, *wildcards: str) -> QueuedJob | None:
    """Return the job of a rule with these wildcards that was submitted from a folder; of several, one that runs."""
    comment = f"rule_{rule}_wildcards_{'_'.join(wildcards)}"
    found = [job for job in jobs if job.comment == comment and job.folder == folder]
    return next((job for job in found if job.runs), found[0] if found else None)


@dataclass(frozen=True)
class Training:
    """One training of a configuration and how far it is."""

    stage: str
    model: str
    dataset: str
    state: str
    step: str = ""
    seconds_per_step: float | None = None
    seconds_left: float | None = None
    job: str = ""
    note: str = ""


def trainings(config: dict[str, Any], jobs: Iterable[QueuedJob], folder: Path) -> list[Training]:
    """Return every training that a configuration's run asks for, pre-trainings first.

    `jobs` are the user's jobs in the queue, `folder` is the one that Snakemake is started in.
    """
    results, jobs = Results(folder / config["results_dir"]), list(jobs)
    runs = [run for run in stored_runs(results.folder, config) if run.use != ORPHANED]
    found = []
    for model in trained_models(config):
        output, log = results.pretraining(model).training, results.log("pretrain_model", model)
        job = job_of(jobs, str(folder), "pretrain_model", model)
        kept = [run for run in runs if (run.stage, run.model) == (PRETRAINING, model)]
        found.append(_training(PRETRAINING, model, "", output, log, job, kept))
    for model in config["run"]["models"]:
        for dataset in finetuned_datasets(config):
            output = results.finetuning(model, dataset).predictions
            log = results.log("finetune_model", model, dataset)
            job = job_of(jobs, str(folder), "finetune_model", model, dataset)
            kept = [run for run in runs if (run.stage, run.model, run.dataset) == (FINETUNING, model, dataset)]
            found.append(_training(FINETUNING, model, dataset, output, log, job, kept))
    return found


def table(found: Sequence[Training]) -> str:
    """Return the trainings as lines of aligned columns, and how many are in each state."""
    counted = Counter(training.state for training in found)
    summary = ", ".join(f"{counted[state]} {state}" for state in STATES if counted[state])
    return f"{aligned_columns([COLUMNS, *map(_cells, found)])}\n{summary}\n"


def _training(
    stage: str, model: str, dataset: str, output: Path, log: Path, job: QueuedJob | None, runs: list[StoredRun]
) -> Training:
    """Return what is known of one training."""
    if output.is_file() and job is None:
        return Training(stage, model, dataset, DONE, step=_steps(runs))
    stalled = next((run for run in runs if run.status == "stalled"), None)
    busy = next((run for run in runs if run.status == "running"), None)
    number = "" if job is None else job.number
    if stalled is not None and busy is None:
        stall = read_stall(stalled.folder)  # None if it has just been removed
        until = "" if stall is None else f"; it goes on by itself once {UNTIL[stall['kind']]}"
        note = f"{stalled.reason}{until}; or rm {stalled.folder}/stalled"
        return Training(stage, model, dataset, STALLED, _steps(runs), job=number, note=note)
    if busy is not None or (job is not None and job.runs):
        current = busy or next((run for run in runs if run.status in ("unfinished", "interrupted")), None)
        lines = [] if current is None else read_metrics(TrainingResults(current.folder).metrics)
        line = next((line for line in reversed(lines) if "eta_seconds" in line), None)
        if line is None:
            return Training(stage, model, dataset, RUNNING, _steps(runs), job=number)
        step = _steps(runs) if stage == FINETUNING else f"{line['step']}/{line['total_steps']}"
        speed = (line["seconds_per_step"], line["eta_seconds"])
        return Training(stage, model, dataset, RUNNING, step, *speed, job=number)
    if job is not None:
        return Training(stage, model, dataset, QUEUED, _steps(runs), job=number, note=job.reason)
    if any(run.status == "interrupted" for run in runs):
        note = "by a signal; started again, it goes on"
        return Training(stage, model, dataset, INTERRUPTED, _steps(runs), note=note)
    if log.is_file():
        return Training(stage, model, dataset, FAILED, _steps(runs), note=f"see {log}")
    return Training(stage, model, dataset, MISSING)


def _steps(runs: list[StoredRun]) -> str:
    """Return how far a training's runs came: the step of one, how many of several are finished."""
    if len(runs) > 1:
        return f"{sum(run.status == 'finished' for run in runs)} of {len(runs)} runs"
    return "".join(f"{run.step}/{'?' if run.total is None else run.total}" for run in runs)


def _cells(training: Training) -> tuple[str, ...]:
    """Return a training's row."""
    rate = "" if training.seconds_per_step is None else f"{training.seconds_per_step:.2g}"
    left = "" if training.seconds_left is None else str(timedelta(seconds=round(training.seconds_left)))
    names = (training.stage, training.model, training.dataset or "-", training.state)
    return (*names, training.step, rate, left, training.job, training.note)
