"""Trainings through what clusters do to them: the weights in the end are those of a training that nothing disturbed.

Three of them run side by side: one whose time limit is shorter than its training, one that is preempted, loses its node
and is cancelled, and one whose head (Snakemake itself, as a job) comes to its own limit and then loses its node.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest

from cluster import conftest, hardships
from cluster.asking import job_of, state_of, wait_until
from cluster.checkout import CONFIGURATION, QUICKLY, Checkout
from cluster.hardships import HEADED, INTERRUPTED, LIMITED, PATIENCE, TWO_NODES, jobs_of, target
from cluster.slurm import OneMachineSlurm
from compactbio.training.checkpoints import read_arrays

# what a site with a preemptible queue may say; here by model, so that one run meets all of it
PLACES = {
    "slurm_partition": f"'preemptible' if wildcards.model == '{INTERRUPTED}' else 'gpu'",
    "slurm_extra": f"'--exclude=gpu1' if wildcards.model == '{INTERRUPTED}' else '--nodelist=gpu1'",
}


@dataclass
class Story:
    """What was done to the trainings, and where their results are."""

    disturbed: Checkout
    headed: Checkout
    uninterrupted: Checkout
    limit: int
    """Minutes that a submission of the limited training has."""
    kept: dict[str, int] = field(default_factory=dict)
    """The step from which the interrupted training went on after each interruption."""
    second_job: tuple[int, str] = (0, "")
    """Exit code and log of a job that was to train what another one was training."""
    holders: list[str] = field(default_factory=list)
    """Who held the lock of the interrupted training before its node died, and after."""
    head: str = ""
    orphan_state: str = ""


@pytest.fixture(scope="module")
def story(finished_run: Checkout, slurm: OneMachineSlurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """All of it, side by side, to the end."""
    begin = time.monotonic()
    limit = hardships.write_models(finished_run)
    headed = finished_run.copied(tmp_path_factory.mktemp("headed") / "checkout")
    story = Story(finished_run, headed, finished_run, limit)
    try:
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(disturb, story, slurm), pool.submit(be_headed, story, slurm)]:
                done.result()
    finally:
        headed.end_all()
        finished_run.end_all()
    conftest.REPORT.append(f"the disturbed trainings took {time.monotonic() - begin:.0f} s; kept: {story.kept}")
    yield story


def disturb(story: Story, slurm: OneMachineSlurm) -> None:
    """Train with a limit too short, and beside it with one interruption after the other."""
    here = story.disturbed
    runtime = f"{story.limit} if wildcards.model == '{LIMITED}' else 60"
    here.write("hostile.yaml", {"set-resources": {"pretrain_model": {"runtime": runtime, **PLACES}}})
    options = ("hardships.yaml", "--profile", "hostile.yaml", "--", target(LIMITED), target(INTERRUPTED))
    workflow = here.start_workflow(*options, log="hostile.log")
    alone = hardships.start_uninterrupted(here, LIMITED)
    job = hardships.last_job(INTERRUPTED)
    hardships.wait_for_progress(here, INTERRUPTED, job, 0)
    story.second_job = hardships.train_a_second_time(here, INTERRUPTED)
    story.kept["preempted"] = hardships.preempt(here, INTERRUPTED, job)
    story.holders.append(hardships.holder_of(here, INTERRUPTED))
    story.kept["node died"] = hardships.let_node_die(here, slurm, INTERRUPTED, job)
    story.holders.append(hardships.holder_of(here, INTERRUPTED))
    story.kept["cancelled"], _ = hardships.cancel(here, INTERRUPTED, job)
    assert alone.wait(timeout=900) == 0, here.log("uninterrupted.log")
    assert workflow.wait(timeout=900) == 0, here.log("hostile.log")


def be_headed(story: Story, slurm: OneMachineSlurm) -> None:
    """Let the head come to its limit, then lose its node while its job runs."""
    here = story.headed
    story.head = head = hardships.start_head(here, HEADED)
    first = hardships.last_job(HEADED)
    hardships.wait_for_progress(here, HEADED, first, 0)
    hardships.end_at_limit(head)
    second = hardships.last_job(HEADED, after=first)
    wait_until(lambda: state_of(second) == "RUNNING", PATIENCE, "the head's second job runs")
    slurm.kill_node(job_of(head)["NodeList"])
    story.orphan_state = state_of(second)
    hardships.wait_for_restart(head, 2)
    hardships.finish(head, seconds=900)


def weights_of(story: Story, model: str) -> dict[str, np.ndarray]:
    """Return the weights that a training ended with."""
    here = story.headed if model == HEADED else story.disturbed
    return read_arrays(hardships.kept_weights(here.path("checkpoints/pretraining", model)))[0]


@pytest.mark.parametrize("model", [LIMITED, INTERRUPTED, HEADED])
def test_the_weights_are_those_of_an_undisturbed_training(story: Story, model: str) -> None:
    expected, _ = read_arrays(hardships.kept_weights(story.uninterrupted.folder / "uninterrupted"))
    found = weights_of(story, model)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_limit_shorter_than_the_training_took_several_submissions(story: Story) -> None:
    states = [job["JobState"] for job in jobs_of(LIMITED)]
    assert len(states) >= 2
    assert states[-1] == "COMPLETED"
    # its own deadline was in time, or SLURM's signal was heeded: which comes first is SLURM's choice of seconds
    assert set(states[:-1]) <= {"FAILED", "TIMEOUT"}


def test_a_preempted_job_went_on_under_its_number(story: Story) -> None:
    first = jobs_of(INTERRUPTED)[0]
    assert first["Partition"] == "preemptible"
    assert int(first["Restarts"]) == 2  # preempted, and its node died
    assert 0 < story.kept["preempted"] <= story.kept["node died"] <= story.kept["cancelled"]


def test_a_cancelled_job_was_submitted_again(story: Story) -> None:
    states = [job["JobState"] for job in jobs_of(INTERRUPTED)]
    assert states == ["CANCELLED", "COMPLETED"]


def test_a_second_job_for_a_training_is_refused(story: Story) -> None:
    code, said = story.second_job
    assert code != 0
    first = re.search(r"another process is training this run .*, on gpu\d, job (\d+), process \d+, since 20\d\d-", said)
    assert first is not None, said
    assert first.group(1) == jobs_of(INTERRUPTED)[0]["JobId"]


def test_the_lock_of_a_dead_job_is_taken_over(story: Story) -> None:
    before, after = (re.fullmatch(r"on (gpu\d), job (\d+), process \d+, since .*", text) for text in story.holders)
    assert before.group(1) != after.group(1)  # of the node that died, of the one that the training went on on
    assert {before.group(2), after.group(2)} == {jobs_of(INTERRUPTED)[0]["JobId"]}


def test_the_head_outlived_its_limit_and_its_node(story: Story) -> None:
    head = job_of(story.head)
    assert head["JobState"] == "COMPLETED", story.headed.log("results/head.log")
    assert int(head["Restarts"]) >= 2
    log = (story.headed.folder / "results/head.log").read_text()
    assert "the time limit is near" in log
    assert jobs_of(HEADED)[0]["JobState"] == "CANCELLED"  # at the limit the head took its job back


def test_jobs_that_outlived_their_head_were_waited_for(story: Story) -> None:
    assert story.orphan_state == "RUNNING"
    assert jobs_of(HEADED)[1]["JobState"] == "COMPLETED"
    log = (story.headed.folder / "results/head.log").read_text()
    assert "waiting for 1 jobs of an earlier start" in log
    assert "Unlocked working directory" in log


def test_two_nodes_train_together(story: Story, slurm: OneMachineSlurm) -> None:
    here = story.disturbed
    command = ("tests/cluster/snakemake_quickly.py", "--profile", "profiles/slurm", *QUICKLY, *CONFIGURATION)
    options = ("hardships.yaml", "--profile", hardships.two_nodes(here), "--", target(TWO_NODES))
    assert here.start(*command, *options, log="two_nodes.log").wait(timeout=600) == 0, here.log("two_nodes.log")
    [job] = jobs_of(TWO_NODES)
    assert (job["Partition"], job["NumNodes"]) == ("gpu", "2")
    tasks = [task for task in slurm.tasks() if task["job"] == job["JobId"] and task["step"] != "batch"]
    assert len({task["node"] for task in tasks}) == 2
    assert all(task["gpus"] != "" for task in tasks)
    assert "2 process(es)" in here.path("logs/pretrain_model", f"{TWO_NODES}.log").read_text()
    ranks = here.path("logs/pretrain_model", f"{TWO_NODES}.ranks")
    assert {path.parent.name for path in ranks.rglob("stderr.log")} == {"0"}  # on each node its first process
    assert len(list(ranks.rglob("stderr.log"))) == 2
