"""A training whose tries fail: a full disk and an interruption lock nothing, a repeating cause does while it lasts."""

from __future__ import annotations

import os
import re
import resource
import signal

import pytest
from helpers.configurations import read

from cluster.asking import state_of, wait_until
from cluster.checkout import CONFIGURATION, RESULTS, Checkout
from cluster.conftest import REPORT
from cluster.hardships import PATIENCE, holder_of, jobs_of, step_of, target
from compactbio.files import read_json
from compactbio.training.tries import STEPPED, read_tries

FILLED, DYING = "Filled", "Dying"
BYTES = 1_000_000  # as large may a file be: the miniature's weights are smaller, the state of its optimizer is not
DEATHS = 3
CONFIG = "stalled.yaml"


@pytest.fixture(scope="module")
def ready(checkout: Checkout) -> Checkout:
    """The checkout with all that the two trainings need."""
    definition = read("demo.yaml")["models"]["DistilBioBERT"]
    long = {**definition, "optimisation": {**definition["optimisation"], "steps": 1_000_000}}
    checkout.write(
        CONFIG,
        {
            "run": {"models": ["BioBERT-v1.1", FILLED, DYING]},
            "models": {FILLED: definition, DYING: long},
            "pretraining": {"checkpoint_every_steps": 1_000_000},
        },
    )
    students = [f"{RESULTS}/students/initialised/{model}/manifest.json" for model in (FILLED, DYING)]
    workflow = checkout.start_workflow(CONFIG, "--", *students, log="ready.log")
    assert workflow.wait(timeout=900) == 0, checkout.log("ready.log")
    return checkout


def status_of(checkout: Checkout, model: str) -> str:
    """Return the line of a training in what `make status` prints."""
    printed = checkout.run_program("scripts/show_status.py", *CONFIGURATION, CONFIG)
    REPORT.append(f"status with {model}:\n{printed}")
    return next(line for line in printed.splitlines() if line.startswith(f"pretraining  {model} "))


def test_a_full_disk_locks_nothing(ready: Checkout) -> None:
    command = (CONFIG, "--retries", "1", "--", target(FILLED))
    workflow = ready.start_workflow(*command, log="full.log")
    # a limit of the submitting process is one of its jobs, too
    resource.prlimit(workflow.pid, resource.RLIMIT_FSIZE, (BYTES, resource.RLIM_INFINITY))
    assert workflow.wait(timeout=600) != 0, ready.log("full.log")
    assert [job["JobState"] for job in jobs_of(FILLED)] == ["FAILED"] * 2
    log = ready.path("logs/pretrain_model", f"{FILLED}.log").read_text()
    assert "the checkpoint of step 40 could not be written" in log and "has room (quota)" in log
    assert not list(ready.path("checkpoints/pretraining", FILLED).glob("*/stalled"))
    workflow = ready.start_workflow(*command, log="room.log")
    assert workflow.wait(timeout=600) == 0, ready.log("room.log")
    assert read_json(ready.folder / target(FILLED))["step"] == step_of(ready, FILLED) == 40


def wait_for_steps(checkout: Checkout, job: str) -> None:
    """Wait until a job trains and has taken a step."""

    def stepped() -> bool:
        folders = list(checkout.path("checkpoints/pretraining", DYING).glob("*/tries.json"))
        record = read_tries(folders[0].parent) if folders else None
        return record is not None and record["origin"].get("job") == job and record["phase"] == STEPPED

    wait_until(stepped, PATIENCE, f"job {job} takes a step")


def nth_job(number: int) -> str:
    """Wait until so many jobs of the training were submitted and return the number of the newest."""
    wait_until(lambda: len(jobs_of(DYING)) == number, PATIENCE, f"{number} jobs of {DYING}")
    return max((job["JobId"] for job in jobs_of(DYING)), key=int)


def test_silent_deaths_stall_until_a_cause_may_be_gone_and_an_interruption_does_not(ready: Checkout) -> None:
    command = (CONFIG, "--retries", str(DEATHS), "--", target(DYING))
    workflow = ready.start_workflow(*command, log="dying.log")
    for number in range(1, DEATHS + 1):
        wait_for_steps(ready, nth_job(number))
        found = re.search(r"process (\d+)", holder_of(ready, DYING))
        assert found is not None
        os.kill(int(found[1]), signal.SIGKILL)
    assert workflow.wait(timeout=600) != 0, ready.log("dying.log")
    assert len(jobs_of(DYING)) == DEATHS + 1
    log = ready.path("logs/pretrain_model", f"{DYING}.log").read_text()
    assert f"this run is stalled: {DEATHS} tries from step 0 died while they trained" in log
    assert "parameters" not in log  # which a training begins with
    line = status_of(ready, DYING)
    assert " stalled " in line and "it goes on by itself once" in line

    less_memory = ("--set-resources", "pretrain_model:micro_batch_tokens=2048")
    workflow = ready.start_workflow(CONFIG, *less_memory, "--", target(DYING), log="less.log")
    last = nth_job(DEATHS + 2)
    wait_for_steps(ready, last)
    assert not list(ready.path("checkpoints/pretraining", DYING).glob("*/stalled"))
    workflow.send_signal(signal.SIGINT)  # Ctrl-C: Snakemake cancels its jobs, and the training saves
    workflow.wait(timeout=300)
    wait_until(lambda: state_of(last) not in ("RUNNING", "COMPLETING"), PATIENCE, f"job {last} ends")
    assert step_of(ready, DYING) > 0
    assert " interrupted " in status_of(ready, DYING)
