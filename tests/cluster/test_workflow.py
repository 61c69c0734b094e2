"""The cut miniature through profiles/slurm: where its jobs ran, with what, and what they found around them."""

from __future__ import annotations

import json
import re

import pytest

from cluster.asking import jobs
from cluster.checkout import Checkout
from cluster.slurm import OneMachineSlurm

GPU_RULES = {"pretrain_model", "finetune_model"}


def rule_of(job: dict[str, str]) -> str:
    """Return the rule, or the group, of a job that Snakemake submitted."""
    return re.match(r"rule_(?:shard_)?(\w+?)(?:_wildcards.*)?$", job["Comment"]).group(1)


@pytest.fixture(scope="session")
def run_jobs(finished_run: Checkout) -> list[dict[str, str]]:
    """The jobs of the whole run."""
    models = ("BioBERT-v1.1", "DistilBioBERT")
    commented = [job for job in jobs() if job.get("Comment", "").startswith("rule_")]
    return [job for job in commented if "pretrain" not in job["Comment"] or job["Comment"].endswith(models)]


def test_every_rule_that_computes_was_a_job(run_jobs: list[dict[str, str]]) -> None:
    rules = sorted(rule_of(job) for job in run_jobs)
    assert rules == sorted(
        [
            *("parse_baseline_tokenize_shard", "prepare_task", "measure_efficiency", "measure_deployment"),
            *2 * ("pretrain_model", "finetune_model", "score_model"),
        ]
    )
    assert {job["JobState"] for job in run_jobs} == {"COMPLETED"}


def test_gpu_jobs_ran_in_the_gpu_partition_with_their_gpus_and_others_did_not(
    run_jobs: list[dict[str, str]], slurm: OneMachineSlurm
) -> None:
    for job in run_jobs:
        seen = [task["gpus"] for task in slurm.tasks() if task["job"] == job["JobId"]]
        assert seen
        if rule_of(job) in GPU_RULES:
            assert (job["Partition"], job["TresPerJob"]) == ("gpu", "gres:gpu:1")
            assert all(re.fullmatch(r"\d", gpus) for gpus in seen)  # CUDA_VISIBLE_DEVICES names one
        else:
            assert job["Partition"] == "cpu"
            assert "TresPerJob" not in job
            assert set(seen) == {""}


def test_jobs_asked_for_what_their_rules_say(run_jobs: list[dict[str, str]]) -> None:
    asked = {rule_of(job): (job["TimeLimit"], job["MinMemoryNode"]) for job in run_jobs}
    assert asked["pretrain_model"] == ("1-00:00:00", "32000M")
    assert asked["score_model"] == ("00:20:00", "4000M")


def test_compute_nodes_had_no_network(run_jobs: list[dict[str, str]], slurm: OneMachineSlurm) -> None:
    if not slurm.isolated:
        pytest.skip("network namespaces may not be made here, so the nodes share this machine's network")
    assert {task["way_out"] for task in slurm.tasks()} == {"none"}


def test_the_run_left_tables_and_its_logs(finished_run: Checkout) -> None:
    assert "DistilBioBERT" in finished_run.path("tables", "ner.md").read_text()
    assert json.loads(finished_run.path("pretraining/DistilBioBERT/training.json").read_text())["step"] == 20
    assert finished_run.path("logs/pretrain_model/DistilBioBERT.log").stat().st_size > 0
    assert "done   pre-train DistilBioBERT (" in (finished_run.folder / "run.log").read_text()
