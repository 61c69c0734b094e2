"""show_status.py: each state that a training can be in, from files and a recorded queue."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import show_status

from compactbio.cluster.status import job_of, read_queue, table, trainings
from compactbio.training.tries import Tries

CONFIG = {
    "results_dir": "results",
    "run": {"models": ["Small", "Given"], "datasets": ["toy"]},
    "models": {"Small": {"source": "train", "teacher": None}, "Given": {"source": "hub"}},
    "datasets": {"toy": {"task": "ner"}},
}
# recorded without the partition: squeue --noheader --format "%i|%T|%r|%Z|%k"
QUEUE = """\
41|RUNNING|None|{folder}|rule_pretrain_model_wildcards_Small
42|PENDING|Resources|{folder}|rule_finetune_model_wildcards_Given_toy
43|RUNNING|None|/elsewhere|rule_finetune_model_wildcards_Small_toy
44|RUNNING|None|{folder}|(null)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "results/checkpoints/pretraining/Small" / ("a" * 64)
    run.mkdir(parents=True)
    line = {"step": 30, "total_steps": 90, "seconds_per_step": 0.5, "eta_seconds": 30.0}
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    (run / "state.json").write_text(json.dumps({"step": 20, "total_steps": 90, "finished": False}))
    return tmp_path


def states(folder: Path, queue: str = QUEUE) -> dict[tuple[str, str], str]:
    found = trainings(CONFIG, read_queue(queue.format(folder=folder)), folder)
    return {(one.stage, one.model): one.state for one in found}


def test_running_queued_and_missing(folder: Path) -> None:
    assert states(folder) == {
        ("pretraining", "Small"): "running",
        ("finetuning", "Small"): "missing",  # the job of that name is another folder's
        ("finetuning", "Given"): "queued",
    }
    text = table(trainings(CONFIG, read_queue(QUEUE.format(folder=folder)), folder))
    assert text.splitlines()[1].split() == ["pretraining", "Small", "-", "running", "30/90", "0.5", "0:00:30", "41"]
    assert "1 running, 1 queued, 1 missing" in text


def test_done_failed_and_stalled(folder: Path) -> None:
    for path in ("pretraining/Small/training.json", "logs/finetune_model/Given/toy.log"):
        (folder / "results" / path).parent.mkdir(parents=True)
        (folder / "results" / path).touch()
    stalled = folder / "results/checkpoints/finetuning/Small/toy" / ("b" * 64)
    Tries(stalled).stall("loss", "the loss diverges")
    assert states(folder, "") == {
        ("pretraining", "Small"): "done",
        ("finetuning", "Small"): "stalled",
        ("finetuning", "Given"): "failed",
    }
    text = table(trainings(CONFIG, [], folder))
    assert "the loss diverges" in text and f"or rm {stalled}/stalled" in text
    assert "it goes on by itself once the number of processes" in text
    assert f"see {folder}/results/logs/finetune_model/Given/toy.log" in text


@pytest.mark.parametrize("at_once", [False, True])
def test_an_interrupted_training_did_not_fail(folder: Path, at_once: bool) -> None:
    log = folder / "results/logs/pretrain_model/Small.log"
    log.parent.mkdir(parents=True)
    log.touch()
    tries = Tries(folder / "results/checkpoints/pretraining/Small" / ("a" * 64))
    tries.begin(20)
    if at_once:
        tries.interrupted()
        tries._release()  # as the end of the process does
    else:
        tries.end(started_at=20, step=25, finished=False, reason="signal")
    assert states(folder, "")["pretraining", "Small"] == "interrupted"
    text = table(trainings(CONFIG, [], folder))
    assert "20/90" in text and "1 interrupted" in text and "failed" not in text


def test_of_several_jobs_the_running_one_counts(tmp_path: Path) -> None:
    queue = read_queue("1|PENDING|None|/x|rule_r_wildcards_m\n2|RUNNING|None|/x|rule_r_wildcards_m\n")
    assert job_of(queue, "/x", "r", "m").number == "2"


def test_the_program_needs_neither_slurm_nor_snakemake_nor_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", show_status.__file__]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "103 missing" in done.stdout
    loaded = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert not loaded & {"torch", "transformers", "snakemake"}
    assert not (tmp_path / ".snakemake").exists()
