"""Asking the machine and the cluster, and waiting until something is so."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable


def is_allowed(*command: str) -> bool:
    """Return whether a command that needs rights succeeds."""
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def output(command: list[str], *, check: bool = True, seconds: float = 60) -> str:
    """Return what a command prints; without `check`, empty where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip() if done.returncode == 0 else ""


def wait_until(is_so: Callable[[], object], seconds: float, what: str, *, fail: bool = True) -> bool:
    """Return whether something came to be within a time; by default it has to."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_so():
            return True
        time.sleep(0.2)
    assert not fail, f"not within {seconds} s: {what}"
    return False


def jobs() -> list[dict[str, str]]:
    """Return all jobs that the controller remembers, by the names of `scontrol show job`.

    It is asked again where it is too busy to answer: no answer is not the same as no jobs.
    """
    answers: list[str] = []

    def answered() -> bool:
        command = ["scontrol", "show", "job", "--oneliner"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        answers[:] = [done.stdout]
        return done.returncode == 0

    wait_until(answered, 60, "the controller tells its jobs")
    found = []
    for line in answers[0].splitlines():
        facts = dict(re.findall(r"(?:^|\s)([A-Za-z/:]+)=(.*?)(?=\s+[A-Za-z/:]+=|\s*$)", line))
        if "JobId" in facts:
            found.append(facts)
    return found


def job_of(number: str) -> dict[str, str]:
    """Return the job of a number."""
    return next(job for job in jobs() if job["JobId"] == number)


def state_of(number: str) -> str:
    """Return a job's state."""
    return job_of(number)["JobState"]


def seconds_of(job: dict[str, str]) -> int:
    """Return how long a job has run since it was started the last time."""
    days, _, clock = job["RunTime"].rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return 86400 * int(days or 0) + 3600 * hours + 60 * minutes + seconds
