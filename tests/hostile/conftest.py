"""Processes that fork programs, the counts of all that was tried, and the mark `hostile` for every test here."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostile.forking import Forker, build_faults
from hostile.table import Counts

HERE = Path(__file__).parent
PROCESSES = 2
COUNTS = Counts()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.hostile)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the counts of one of several processes to the one that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["hostile"] = COUNTS.kinds


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    COUNTS.join(getattr(node, "workeroutput", {}).get("hostile", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = COUNTS.lines()
    if lines:
        COUNTS.write()
        terminalreporter.section("hostile conditions")
        for line in lines:
            terminalreporter.write_line(line.expandtabs(12))


@pytest.fixture(scope="session")
def counts() -> Counts:
    return COUNTS


@pytest.fixture(scope="session")
def forkers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Forker]]:
    """Processes that run programs, with the faults at hand."""
    folder = tmp_path_factory.mktemp("forkers")
    try:
        library = build_faults(folder)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    made = [Forker(library, folder / f"home{number}") for number in range(PROCESSES)]
    yield made
    for forker in made:
        forker.close()


@pytest.fixture(scope="session")
def pool() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    """A thread for each forking process."""
    with concurrent.futures.ThreadPoolExecutor(PROCESSES) as threads:
        yield threads
