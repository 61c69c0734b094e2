"""A training that can keep no step: its tries end, the reason is told, and without its cause it goes on."""

from __future__ import annotations

import re
import resource

import pytest
from helpers.configurations import read

from cluster.checkout import CONFIGURATION, Checkout
from cluster.conftest import REPORT
from cluster.hardships import jobs_of, step_of, target
from compactbio.files import read_json

STALLED = "Stalled"
RETRIES = 1  # of Snakemake, which does not know that they are in vain
BYTES = 1_000_000  # as large may a file be: the miniature's weights are smaller, the state of its optimizer is not
WORKFLOW = ("stalled.yaml", "--retries", str(RETRIES), "--", target(STALLED))


@pytest.fixture(scope="module")
def stalled(finished_run: Checkout) -> Checkout:
    """The checkout after all tries of a training whose jobs may write no large file, as under a quota."""
    definition = read("demo.yaml")["models"]["DistilBioBERT"]
    run = {"run": {"models": ["BioBERT-v1.1", STALLED]}, "models": {STALLED: definition}}
    finished_run.write("stalled.yaml", run)
    workflow = finished_run.start_workflow(*WORKFLOW, log="stalled.log")
    # a limit of the submitting process is one of its jobs, too
    resource.prlimit(workflow.pid, resource.RLIMIT_FSIZE, (BYTES, resource.RLIM_INFINITY))
    assert workflow.wait(timeout=600) != 0, finished_run.log("stalled.log")
    return finished_run


def test_later_tries_end_before_they_train(stalled: Checkout) -> None:
    tries = jobs_of(STALLED)
    assert [job["JobState"] for job in tries] == ["FAILED"] * (1 + RETRIES)
    log = stalled.path("logs/pretrain_model", f"{STALLED}.log").read_text()
    assert "this run is stalled: the checkpoint of step 20 could not be written" in log
    assert "parameters" not in log  # which a training begins with


def test_the_reason_and_what_to_do_are_told(stalled: Checkout) -> None:
    printed = (stalled.folder / "stalled.log").read_text()
    status = stalled.run_program("scripts/show_status.py", *CONFIGURATION, "stalled.yaml")
    REPORT.append(f"status of a stalled training:\n{status}")
    assert "free disk space or quota" in printed
    line = next(line for line in status.splitlines() if line.startswith(f"pretraining  {STALLED} "))
    assert " stalled " in line and "free disk space or quota" in line
    assert re.search(r"fix it, then rm (\S+/stalled)$", line)


def test_without_the_marker_it_goes_on(stalled: Checkout) -> None:
    [marker] = stalled.path("checkpoints/pretraining", STALLED).glob("*/stalled")
    marker.unlink()
    workflow = stalled.start_workflow(*WORKFLOW, log="fixed.log")
    assert workflow.wait(timeout=600) == 0, stalled.log("fixed.log")
    assert jobs_of(STALLED)[-1]["JobState"] == "COMPLETED"
    assert len(jobs_of(STALLED)) == 1 + RETRIES + 1
    training = read_json(stalled.folder / target(STALLED))
    assert training["step"] == step_of(stalled, STALLED) == 40
