"""What a user asks of a cluster before, during and after a run: preflight, status, cost; and the site's drafts."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from cluster.checkout import CONFIGURATION, Checkout
from cluster.conftest import REPORT


@pytest.fixture(scope="module")
def preflight(checkout: Checkout) -> dict[str, str]:
    """The lines of the table by what they are about; the pretended GPUs make the whole fail.

    Fine-tuning asks for them; pre-training does not, so that steps of it can be measured.
    """
    process = checkout.start_workflow("--set-resources", "pretrain_model:gpu=0", "--", "preflight", log="preflight.log")
    assert process.wait(timeout=600) == 1, checkout.log("preflight.log")
    lines = (checkout.folder / "preflight.log").read_text().splitlines()
    table = [line for line in lines if re.search("  (ok|look|NOT OK)  ", line)]
    REPORT.append("\n".join(["preflight:", *table]))
    return {line.split("  ")[0]: " ".join(line.split()) for line in lines if "  " in line}


def test_the_drafts_name_the_partitions_and_leave_the_preemptible_one_to_choose(checkout: Checkout) -> None:
    text = (checkout.folder / "profiles/slurm/partitions.yaml").read_text()
    partitions = yaml.safe_load(text)["partitions"]
    assert list(partitions) == ["cpu", "gpu"]
    assert (partitions["gpu"]["max_gpu"], partitions["gpu"]["available_gpu_models"]) == (4, ["a100", "v100"])
    assert "  # preemptible:" in text
    assert "sacctmgr names none" in (checkout.folder / "profiles/slurm/site.env").read_text()


def test_drafts_that_were_edited_are_kept(checkout: Checkout) -> None:
    assert checkout.run_program("scripts/write_site.py").count("is kept as it is") == 2


def test_preflight_finds_what_is_well(preflight: dict[str, str]) -> None:
    well = ("versions", "disk", "files", "partitions", "job states", "finetune_model", "score_model", "short job")
    for subject in well:
        assert f"{subject} ok" in preflight[subject]
    assert preflight["finetune_model"].endswith("1 GPU on 1 node(s): gpu")
    assert preflight["score_model"].endswith(": cpu, gpu")


def test_preflight_finds_that_the_gpus_are_none(preflight: dict[str, str]) -> None:
    assert "NOT OK torch sees none (CUDA_VISIBLE_DEVICES=0)" in preflight["GPU"]


def test_preflight_says_what_the_trainings_will_take(preflight: dict[str, str]) -> None:
    for model, steps in (("BioBERT-v1.1", 30), ("DistilBioBERT", 20)):
        text = preflight[f"hours {model}"]
        assert re.search(rf" ok \S+ min on no GPU, {steps} steps of \S+ s, peak \S+ MB, 1 submission$", text)
    assert re.search(
        r"^hours ok ready after \S+ min if none waits in the queue; measured on .*no GPU$", preflight["hours"]
    )


def test_status_after_the_run(finished_run: Checkout) -> None:
    text = finished_run.run_program("scripts/show_status.py", *CONFIGURATION)
    REPORT.append(f"status after the run:\n{text}")
    assert text.endswith("\n4 done\n")


def test_cost_says_where_to_look_without_accounting(finished_run: Checkout) -> None:
    command = [sys.executable, "scripts/show_costs.py", *CONFIGURATION]
    done = subprocess.run(command, cwd=finished_run.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Without SLURM's accounting" in done.stderr and "results/cluster/benchmarks/" in done.stderr
