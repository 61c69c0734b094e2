"""This user's jobs in SLURM's queue, by the rule and wildcards that Snakemake's plugin notes with them."""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from dataclasses import dataclass

from compactbio.slurm import output_of, rows_of

COLUMNS = {"number": "%i", "state": "%T", "reason": "%r", "partition": "%P", "folder": "%Z", "comment": "%k"}


@dataclass(frozen=True)
class QueuedJob:
    """A job that waits or runs."""

    number: str
    state: str
    reason: str
    partition: str
    folder: str
    comment: str

    @property
    def runs(self) -> bool:
        """Return whether it is on a node."""
        return self.state in ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED")


def ask_queue() -> list[QueuedJob]:
    """Return the user's jobs that wait or run."""
    return read_queue(
        output_of("squeue", "--noheader", "--user", getpass.getuser(), "--format", "|".join(COLUMNS.values()))
    )


def read_queue(text: str) -> list[QueuedJob]:
    """Return the jobs in what squeue prints in COLUMNS."""
    return [QueuedJob(**row) for row in rows_of(text, *COLUMNS)]


def job_of(jobs: Iterable[QueuedJob], folder: str, rule: str, *wildcards: str) -> QueuedJob | None:
    """Return the job of a rule with these wildcards that was submitted from a folder; of several, one that runs."""
    comment = f"rule_{rule}_wildcards_{'_'.join(wildcards)}"
    found = [job for job in jobs if job.comment == comment and job.folder == folder]
    return next((job for job in found if job.runs), found[0] if found else None)
