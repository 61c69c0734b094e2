"""The commands that start trainings, and the GPUs that are seen and claimed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compactbio.errors import UserError
from compactbio.training import launching
from compactbio.training.launching import (
    ON_EACH_NODE,
    TORCHRUN,
    claimed_gpus,
    launch_command,
    processes_for,
    threads_per_process,
    visible_gpus,
)

PROGRAM = ["train.py", "--run", "run.yaml"]


def test_one_process_is_started_by_python():
    assert launch_command(PROGRAM, processes=1) == [sys.executable, *PROGRAM]


def test_one_node_is_started_by_torchrun():
    assert launch_command(PROGRAM, processes=4) == [
        *[sys.executable, "-m", "torch.distributed.run", *TORCHRUN, "--standalone", "--nproc-per-node=4", "--"],
        *PROGRAM,
    ]


def test_several_nodes_are_started_by_srun_and_torchrun():
    command = launch_command(
        PROGRAM,
        processes=8,
        nodes=2,
        meeting=["--rdzv-id=123", "--rdzv-backend=c10d", "--rdzv-endpoint=10.0.0.1:20123"],
        cores_per_node=16,
    )
    assert command == [
        *["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=16", "--kill-on-bad-exit=1"],
        *["sh", "-c", ON_EACH_NODE, "sh"],
        *[
            sys.executable,
            "-m",
            "torch.distributed.run",
            *TORCHRUN,
            "--nnodes=2",
            "--nproc-per-node=4",
            "--rdzv-id=123",
        ],
        *["--rdzv-backend=c10d", "--rdzv-endpoint=10.0.0.1:20123", "--"],
        *PROGRAM,
    ]


def test_the_first_node_is_where_all_meet():
    show = ["sh", "-c", ON_EACH_NODE, "sh", "printenv", "PET_RDZV_CONF"]
    for node, said in (("0", "is_host=1\n"), ("1", "is_host=0\n")):
        done = subprocess.run(show, env={**os.environ, "SLURM_NODEID": node}, capture_output=True, text=True)
        assert done.stdout == said


def test_what_each_process_prints_is_kept():
    command = launch_command(PROGRAM, processes=2, logs=Path("ranks"))
    assert command[command.index("--tee=3") + 1] == "--log-dir=ranks"
    assert launch_command(PROGRAM, processes=1, logs=Path("ranks")) == [sys.executable, *PROGRAM]


def test_impossible_launches_are_refused():
    with pytest.raises(UserError, match="3 processes cannot be shared equally by 2 nodes"):
        launch_command(PROGRAM, processes=3, nodes=2)
    with pytest.raises(UserError, match="need a SLURM job"):
        launch_command(PROGRAM, processes=4, nodes=2)


def test_a_machine_without_gpus_runs_one_process_and_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        assert processes_for(1, found=0) == 1
        assert processes_for(8, found=0) == 1
    assert caplog.text.count("one process on the CPU") == 2
    caplog.clear()
    assert processes_for(0, found=0) == 1
    assert not caplog.text


def test_too_few_gpus_are_an_error():
    assert processes_for(2, found=4) == 2
    with pytest.raises(UserError, match="4 GPUs were asked for and 2 are visible"):
        processes_for(4, found=2)


def test_gpus_are_seen_by_their_device_files(tmp_path):
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "0,1"}, tmp_path) == []
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == ["0", "1"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1"}, tmp_path) == ["1"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}, tmp_path) == []


def test_claimed_gpus_are_not_given_twice(tmp_path, monkeypatch):
    def give_up(seconds):
        raise TimeoutError

    monkeypatch.setattr(launching.time, "sleep", give_up)
    with claimed_gpus(1, ["0", "1"], tmp_path) as first:
        with claimed_gpus(1, ["0", "1"], tmp_path) as second:
            assert (first, second) == (["0"], ["1"])
        with pytest.raises(TimeoutError), claimed_gpus(2, ["0", "1"], tmp_path):
            pass
        with claimed_gpus(1, ["0", "1"], tmp_path) as second:  # who waits holds none
            assert second == ["1"]
    with claimed_gpus(2, ["0", "1"], tmp_path) as both:
        assert both == ["0", "1"]


def test_cores_are_shared_by_the_processes():
    assert threads_per_process({"OMP_NUM_THREADS": "8"}, 4) == 2
    assert threads_per_process({"OMP_NUM_THREADS": "2"}, 4) == 1
    assert threads_per_process({}, 1) >= 1
