"""The cluster, a checkout that knows it, and a whole run of the cut miniature on it; a table of all jobs at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tabulate import tabulate

from cluster.asking import jobs, output
from cluster.checkout import RESULTS, Checkout
from cluster.slurm import OneMachineSlurm, reason_to_skip

REPORT: list[str] = []


@pytest.fixture(scope="session")
def slurm() -> Iterator[OneMachineSlurm]:
    """The running cluster."""
    reason = reason_to_skip()
    if reason:
        pytest.skip(reason)
    cluster = OneMachineSlurm()
    begin = time.monotonic()
    try:
        cluster.start()
        REPORT.append(f"SLURM was ready after {time.monotonic() - begin:.1f} s")
        yield cluster
        REPORT.extend([table_of_jobs(), starts_of_jobs()])
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def checkout(slurm: OneMachineSlurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout with generated data, to which only the site's files were added, by `make site`'s program."""
    copy = Checkout(tmp_path_factory.mktemp("checkout"))
    copy.copy_tracked_files()
    copy.run_program("scripts/make_miniature.py", "--output", f"{RESULTS}/miniature")
    copy.run_program("scripts/write_site.py")
    yield copy
    copy.end_all()


@pytest.fixture(scope="session")
def finished_run(checkout: Checkout) -> Checkout:
    """The checkout after the whole workflow has run on the cluster."""
    begin = time.monotonic()
    assert checkout.start_workflow(log="run.log").wait(timeout=900) == 0, checkout.log("run.log")
    REPORT.append(f"the cut miniature took {time.monotonic() - begin:.0f} s")
    return checkout


def table_of_jobs() -> str:
    """Return what the controller remembers of the jobs."""
    columns = ("JobId", "Comment", "Partition", "NodeList", "TresPerJob", "JobState", "Restarts", "RunTime")
    rows = [[job.get(column, "") for column in columns] for job in jobs()]
    return tabulate([[cell.replace("_wildcards", "") for cell in row] for row in rows], columns)


def starts_of_jobs() -> str:
    """Return what sacct tells: a line for each start of a job, from the controller's file instead of a data base."""
    columns = "--format=JobID,JobName%-30,Partition,NodeList,State,Start,End,Elapsed,Timelimit"
    return output(["sacct", "--completion", "--allusers", "--starttime=now-1days", columns], check=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the cluster did."""
    for text in REPORT:
        terminalreporter.write_line(text)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.slow)
