"""What Snakemake prints of a running workflow: a line when a job starts, one when it ends, the time left, failed logs.

Snakemake's own listing takes ten lines a job, which hide why one failed. Its log file keeps that listing.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

TAIL_LINES = 30
_REPLACED = {
    LogEvent.GROUP_ERROR,
    LogEvent.GROUP_INFO,
    LogEvent.JOB_ERROR,
    LogEvent.JOB_FINISHED,
    LogEvent.JOB_INFO,
    LogEvent.PROGRESS,
    LogEvent.RESOURCES_INFO,
    LogEvent.SHELLCMD,
    LogEvent.WORKFLOW_STARTED,
}
_NOISE = (
    "Assuming unrestricted shared filesystem",
    "Conda environments: ignored",
    "Execute ",
    "Select jobs to execute",
    "Using shell:",
    "host:",
)


def print_briefly(logger: logging.Logger, targets: Collection[str], *, dry_run: bool) -> None:
    """Let Snakemake's terminal handler show brief lines; nothing where a plugin prints instead of it.

    Args:
        logger: Snakemake's, with its handlers; the handler of its log file stays as it is.
        targets: names of rules that only gather files; they take no time.
        dry_run: show the number of jobs of each rule, once, and no job.
    """
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler" and isinstance(handler, logging.StreamHandler):
            handler.addFilter(_Filter())
            if not dry_run:
                logger.addHandler(BriefLines(handler.stream, targets))
            return


class _Filter(logging.Filter):
    """Leaves out what brief lines say better, and the second of the two counts of jobs that a dry run prints."""

    _counted = False

    def filter(self, record: logging.LogRecord) -> bool:
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            counted, self._counted = self._counted, True
            return not counted
        if event in _REPLACED:
            return False
        message = str(record.msg)
        if event == LogEvent.ERROR and message.startswith("RuleException:\nCalledProcessError"):
            return False  # the command of a failed job, once more
        return record.levelno > logging.INFO or not message.startswith(_NOISE)


class BriefLines(logging.StreamHandler[Any]):
    """Prints the events of jobs, each in a line."""

    def __init__(self, stream: Any, targets: Collection[str] = ()) -> None:
        super().__init__(stream)
        self._targets = frozenset(targets)
        self._started_at = time.monotonic()
        self._jobs: dict[int, tuple[str, str, float]] = {}
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)
        self._planned: Counter[str] = Counter()
        self._total = 0
        self._failed: dict[int, tuple[str, Sequence[str]]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Print what an event says; a record without one is left to Snakemake's own handler."""
        shown = {
            LogEvent.RUN_INFO: self._plan,
            LogEvent.JOB_INFO: self._start,
            LogEvent.JOB_FINISHED: self._finish,
            LogEvent.JOB_ERROR: self._fail,
            LogEvent.GROUP_ERROR: self._fail_together,
        }
        show = shown.get(record.__dict__.get("event", LogEvent.DEBUG_DAG))
        if str(record.msg).startswith("Exiting because a job execution failed"):
            show = self._end
        if show is None:
            return
        try:
            show(record.__dict__)
            self.flush()
        except Exception:  # a line that cannot be printed must not end the workflow
            self.handleError(record)

    def _print(self, text: str) -> None:
        self.stream.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    def _plan(self, event: Mapping[str, Any]) -> None:
        self._planned = Counter({name: count for name, count in event["stats"].items() if name != "total"})
        self._total = sum(self._planned.values())

    def _start(self, event: Mapping[str, Any]) -> None:
        name = event["rule_msg"] or event["rule_name"]
        self._jobs[event["jobid"]] = (event["rule_name"], name, time.monotonic())
        self._print(f"start  {name}")

    def _finish(self, event: Mapping[str, Any]) -> None:
        rule, name, started_at = self._jobs.pop(event["job_id"], ("", f"job {event['job_id']}", time.monotonic()))
        self._failed.pop(event["job_id"], None)
        self._seconds[rule].append(time.monotonic() - started_at)
        done = sum(map(len, self._seconds.values()))
        took = duration(self._seconds[rule][-1])
        left = self._planned - Counter({rule: len(seconds) for rule, seconds in self._seconds.items()})
        left = Counter({name: count for name, count in left.items() if name not in self._targets})
        self._print(f"done   {name} ({took}); {done} of {self._total} jobs{self._time_left(left)}")

    def _time_left(self, left: Mapping[str, int]) -> str:
        now = time.monotonic()
        running = [(rule, now - started_at) for rule, _, started_at in self._jobs.values()]
        seconds, complete = seconds_left(self._seconds, left, running, elapsed=now - self._started_at)
        return f", {'about' if complete else 'more than'} {duration(seconds)} left" if round(seconds) else ""

    def _fail(self, event: Mapping[str, Any]) -> None:
        job = self._jobs.pop(event["jobid"], None)
        name = job[1] if job else event["rule_name"]
        self._failed[event["jobid"]] = (name, event["log"])
        self._print(f"FAILED {name}")
        submitted = event["aux"].get("external_jobid")
        if submitted:
            self.stream.write(f"  job of the scheduler: {submitted}\n")
        self._show_logs(event["log"])

    def _fail_together(self, event: Mapping[str, Any]) -> None:
        """Print the logs that a group of jobs wrote to the scheduler; each of its jobs has an event of its own."""
        self._show_logs(event["aux_logs"])

    def _end(self, event: Mapping[str, Any]) -> None:
        """Print which jobs failed for good: their own lines may be far above."""
        self._print(f"{len(self._failed)} failed; the same command goes on from here:")
        self.stream.writelines(f"  {name}: {' '.join(logs)}\n" for name, logs in self._failed.values())

    def _show_logs(self, paths: Collection[str]) -> None:
        for path in paths:
            self.stream.write(f"  {path}:\n")
            self.stream.writelines(f"  | {line}\n" for line in last_lines(Path(path)))


def last_lines(path: Path, count: int = TAIL_LINES) -> list[str]:
    """Return the last lines of a log, a long one's start left out; a sentence where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 200 * count))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        return [f"(not readable: {error.strerror})"]
    return lines[-count:] or ["(empty)"]


def seconds_left(
    finished: Mapping[str, Sequence[float]],
    left: Mapping[str, int],
    running: Collection[tuple[str, float]],
    *,
    elapsed: float,
) -> tuple[float, bool]:
    """Return the seconds that a workflow still takes, and whether every rule that is left was timed.

    A job is expected to take the mean of its rule's finished jobs, and as many to run side by side as until now. Of a
    rule without a finished job nothing is known, so that the seconds are then a lower bound.

    Args:
        finished: seconds of each finished job, by rule.
        left: number of jobs that have not finished, by rule, those included that run now.
        running: rule and age in seconds of each job that runs now.
        elapsed: seconds since the start.
    """
    means = {rule: sum(seconds) / len(seconds) for rule, seconds in finished.items() if seconds}
    work = sum(count * means.get(rule, 0.0) for rule, count in left.items())
    work -= sum(min(age, means.get(rule, 0.0)) for rule, age in running)
    worked = sum(map(sum, finished.values())) + sum(age for _, age in running)
    side_by_side = max(1.0, worked / elapsed) if elapsed > 0 else 1.0
    return max(0.0, work) / side_by_side, left.keys() <= means.keys()


def duration(seconds: float) -> str:
    """Return a duration with its two largest units: `38 s`, `3 min 20 s`, `5 h 12 min`, `2 d 4 h`."""
    whole = timedelta(seconds=round(seconds))
    hours, rest = divmod(whole.seconds, 3600)
    units = [(whole.days, "d"), (hours, "h"), (rest // 60, "min"), (rest % 60, "s")]
    first = next((number for number, (count, _) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2] if count) or "0 s"
