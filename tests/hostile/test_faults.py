"""Every program that writes: killed at its calls, and with a disk that is full, broken or read-only from one on.

`--trials` says how many calls of a program are tried with each fault; `make test-hostile` tries more than `make test`.
"""

from __future__ import annotations

import queue
from pathlib import Path

import pytest

from hostile.forking import ERRORS
from hostile.trials import Course
from hostile.writers import WRITERS, Made, Writer

COSTLY = {"build_figures": 4, "write_provenance": 4, "pretrain_model": 2, "finetune_model": 2}  # by so much fewer


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def made() -> Made:
    return {}


@pytest.mark.parametrize("build", WRITERS, ids=lambda build: build.__name__)
def test_no_fault_leaves_a_trace(build, world, made, forkers, pool, counts, tmp_path, request) -> None:
    """One line and an exit code, or death; the next start ends in the same bytes, nothing beside them."""
    writer: Writer = build(world, made)
    course = Course(writer, forkers[0], tmp_path / "course")
    made[writer.name] = course.folder
    free: queue.SimpleQueue = queue.SimpleQueue()
    for forker in forkers:
        free.put(forker)

    def attempt(chosen):
        forker = free.get()
        try:
            return course.attempt(forker, *chosen)
        finally:
            free.put(forker)

    budget = max(2, request.config.getoption("--trials") // COSTLY.get(writer.name, 1))
    trials = list(pool.map(attempt, course.trials(budget)))
    for trial in trials:
        counts.add(trial.fault, trial.first, trial.second)
    assert {trial.fault for trial in trials} == {"kill", "killed again", *ERRORS}
    assert [trial for trial in trials if not trial.is_sound] == []
