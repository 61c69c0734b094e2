"""What a running workflow prints: a line when a job starts and one when it ends, the time left, logs of what failed."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from compactbio import workflow_log
from compactbio.workflow_log import duration, last_lines, print_briefly, seconds_left


class Run:
    """A logger as Snakemake has it, whose clock the test moves."""

    def __init__(self, *, dry_run: bool = False) -> None:
        self.now = 1000.0
        self.stream = io.StringIO()
        self.logger = logging.Logger("snakemake")
        handler = logging.StreamHandler(self.stream)
        handler.name = "DefaultStreamHandler"
        self.logger.addHandler(handler)
        print_briefly(self.logger, ["all"], dry_run=dry_run)

    def say(self, message: str, event: LogEvent | None = None, level: int = logging.INFO, **fields: object) -> None:
        self.logger.log(level, message, extra={**({} if event is None else {"event": event}), **fields})

    def start(self, number: int, rule: str, message: str = "") -> None:
        self.say(" Rule", LogEvent.JOB_INFO, jobid=number, rule_name=rule, rule_msg=message, log=[])

    def finish(self, number: int, after: float) -> None:
        self.now += after
        self.say("Finished", LogEvent.JOB_FINISHED, job_id=number)

    def fail(self, number: int, rule: str, logs: list[str], **aux: str) -> None:
        self.say("Error", LogEvent.JOB_ERROR, logging.ERROR, jobid=number, rule_name=rule, log=logs, aux=aux)

    @property
    def lines(self) -> list[str]:
        """What was printed, the time of day left out."""
        return [line[9:] if line[2:3] == ":" else line for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A run whose clock stands still until a job ends."""
    made = Run()
    monkeypatch.setattr(workflow_log.time, "monotonic", lambda: made.now)
    for handler in made.logger.handlers:
        if isinstance(handler, workflow_log.BriefLines):
            handler._started_at = made.now
    yield made


def test_each_job_has_two_lines_and_the_time_left(run: Run) -> None:
    run.say("Job stats", LogEvent.RUN_INFO, stats={"pretrain_model": 3, "score_model": 1, "all": 1, "total": 5})
    for number in (1, 2, 3):
        run.start(number, "pretrain_model", f"pre-train model {number}")
        run.finish(number, after=100)
    run.start(4, "score_model", "score")
    run.finish(4, after=2)
    run.start(5, "all")
    run.finish(5, after=0)
    assert run.lines == [
        "Job stats",
        "start  pre-train model 1",
        "done   pre-train model 1 (1 min 40 s); 1 of 5 jobs, more than 3 min 20 s left",
        "start  pre-train model 2",
        "done   pre-train model 2 (1 min 40 s); 2 of 5 jobs, more than 1 min 40 s left",
        "start  pre-train model 3",
        "done   pre-train model 3 (1 min 40 s); 3 of 5 jobs",
        "start  score",
        "done   score (2 s); 4 of 5 jobs",
        "start  all",
        "done   all (0 s); 5 of 5 jobs",
    ]


def test_a_failure_shows_the_end_of_its_log_and_is_listed_at_the_end(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "finetune.log"
    log.write_text("".join(f"line {number}\n" for number in range(500)), encoding="utf-8")
    run.say("Job stats", LogEvent.RUN_INFO, stats={"finetune_model": 2, "total": 2})
    for number in (1, 2):
        run.start(number, "finetune_model", f"fine-tune {number}")
        run.fail(number, "finetune_model", [str(log)], external_jobid="4711")
    run.say("RuleException:\nCalledProcessError in file", LogEvent.ERROR, logging.ERROR)
    run.say("Trying to restart job 2.")
    run.start(2, "finetune_model", "fine-tune 2")
    run.finish(2, after=1)
    run.say("Exiting because a job execution failed. Look above for error messages", level=logging.ERROR)
    lines = run.lines
    failed = lines.index("FAILED fine-tune 1")
    assert lines[failed + 1 : failed + 4] == ["  job of the scheduler: 4711", f"  {log}:", "  | line 470"]
    assert lines[failed + 32] == "  | line 499"
    assert not any("RuleException" in line for line in lines)
    assert "Trying to restart job 2." in lines
    end = lines.index("1 failed; the same command goes on from here:")
    assert lines[end + 1] == f"  fine-tune 1: {log}"


def test_a_dry_run_counts_jobs_once_and_lists_none() -> None:
    run = Run(dry_run=True)
    run.say("Job stats", LogEvent.RUN_INFO, stats={"total": 1})
    run.start(1, "finetune_model", "fine-tune")
    run.say("Job stats", LogEvent.RUN_INFO, stats={"total": 1})
    run.say("This was a dry-run (flag -n).")
    assert run.lines == ["Job stats", "This was a dry-run (flag -n)."]


def test_warnings_and_other_errors_are_shown(run: Run) -> None:
    run.say("Execute 2 jobs...")
    run.say("Execute with care", level=logging.WARNING)
    run.say("WorkflowError:\nno such file", LogEvent.ERROR, logging.ERROR)
    assert run.lines == ["Execute with care", "WorkflowError:", "no such file"]


def test_another_logger_than_snakemakes_own_is_left_alone() -> None:
    logger = logging.Logger("snakemake")
    logger.addHandler(logging.StreamHandler(io.StringIO()))
    print_briefly(logger, [], dry_run=False)
    assert len(logger.handlers) == 1
    assert logger.handlers[0].filters == []


def test_jobs_that_ran_side_by_side_are_expected_to_go_on_so() -> None:
    finished = {"finetune": [100.0, 100.0, 100.0, 100.0]}
    assert seconds_left(finished, {"finetune": 6}, [], elapsed=100.0) == (150.0, True)
    assert seconds_left(finished, {"finetune": 6}, [("finetune", 50.0)] * 4, elapsed=150.0) == (100.0, True)
    assert seconds_left(finished, {"finetune": 4, "pretrain": 1}, [], elapsed=400.0) == (400.0, False)
    assert seconds_left({}, {"finetune": 1}, [], elapsed=0.0) == (0.0, False)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (38, "38 s"),
        (60, "1 min"),
        (200.4, "3 min 20 s"),
        (3599.7, "1 h"),
        (18_720, "5 h 12 min"),
        (187_300, "2 d 4 h"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_log_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "none.log") == ["(not readable: No such file or directory)"]
    (tmp_path / "empty.log").touch()
    assert last_lines(tmp_path / "empty.log") == ["(empty)"]
    (tmp_path / "bytes.log").write_bytes(b"\xff\n" * 3)
    assert last_lines(tmp_path / "bytes.log", count=2) == ["\ufffd", "\ufffd"]
