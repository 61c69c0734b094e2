"""Tries of a run: a later one starts only where an earlier one could have gained something.

The profile sets the number of retries, which may be large. A run that cannot get ahead (no time for one step, never
enough memory, a loss that is not a number) would use them all up. So a try that gained no step leaves a file `stalled`
with the reason, and later tries end at once.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from datetime import datetime
from pathlib import Path
from typing import IO, TypedDict

from compactbio.errors import UserError
from compactbio.files import read_json, write_json

STALLED = "stalled"
TRIES = "tries.json"
LOCK = "lock"
DEATHS_ALLOWED = 2  # tries from the same step that were killed: one may be a node's failure, two are the run's own


class UnendedTries(TypedDict):
    """Content of tries.json, which a try that notes its end removes."""

    step: int
    """The step that the tries started from; -1 where there were none."""
    deaths: int
    """How many tries began there and noted no end."""


class Tries:
    """The tries of one run, kept in its checkpoint folder. Used by the main process only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.marker = folder / STALLED
        self._lock: IO[str] | None = None

    def refuse_if_stalled(self) -> None:
        """Raise UserError where an earlier try left the marker; costs no import of torch."""
        if self.marker.is_file():
            reason = self.marker.read_text(encoding="utf-8").strip()
            raise UserError(f"this run is stalled: {reason}. Fix the cause, then remove the marker: rm '{self.marker}'")

    def begin(self, step: int) -> None:
        """Note that a try starts from `step`; refuse where two such tries were killed."""
        self._refuse_a_second_process()
        path = self.folder / TRIES
        before: UnendedTries = read_json(path) if path.is_file() else {"step": -1, "deaths": 0}
        deaths = before["deaths"] if before["step"] == step else 0
        if deaths >= DEATHS_ALLOWED:
            self.stall(
                f"{deaths} tries from step {step} were killed before their first checkpoint "
                "(memory or time limit? see the scheduler's record of the job)"
            )
            path.unlink()
            self.refuse_if_stalled()
        now: UnendedTries = {"step": step, "deaths": deaths + 1}
        write_json(path, now)

    def end(self, *, started_at: int, step: int, finished: bool, reason: str) -> None:
        """Note how a try ended; one that gained no step and was not stopped by a signal leaves the marker."""
        (self.folder / TRIES).unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
        if finished or step > started_at or reason == "signal":  # the sender of the signal may start it again
            return
        if reason == "deadline":
            reason = "the time limit was reached before one step from step {} was done and saved; allow more minutes"
            reason = reason.format(started_at)
        self.stall(reason)

    def _refuse_a_second_process(self) -> None:
        """Hold the folder's lock for the life of this object; a job that a scheduler started twice must not mix in.

        Raises:
            UserError: another process trains this run.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = (self.folder / LOCK).open("a+", encoding="utf-8")  # what its holder wrote stays until we hold it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = (self.folder / LOCK).read_text(encoding="utf-8").strip() or "which left no name"
            lock.close()
            raise UserError(
                f"another process is training this run ({self.folder}), {holder}: wait for its end, or stop it first"
            ) from None
        except OSError as error:  # a file system without locks: no reason not to train
            logging.warning("%s cannot be locked (%s)", self.folder, error)
        lock.truncate(0)
        lock.write(_who_and_when() + "\n")
        lock.flush()
        self._lock = lock

    def stall(self, reason: str) -> None:
        """Leave the marker."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.marker.write_text(" ".join(reason.split()) + "\n", encoding="utf-8")
        logging.error("no step was gained: later tries will not start until %s is removed", self.marker)


def _who_and_when() -> str:
    """Return the host, the scheduler's job where there is one, the process, and the time."""
    host = os.environ.get("SLURMD_NODENAME", socket.gethostname())
    job = os.environ.get("SLURM_JOB_ID")
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    return f"on {host}, {f'job {job}, ' if job else ''}process {os.getpid()}, since {now}"
