"""The commands that start trainings, and the GPUs that are seen and claimed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from helpers.configurations import ROOT

from compactbio.errors import UserError
from compactbio.training import launching, processes
from compactbio.training.launching import (
    GPUS,
    TORCHRUN,
    claim_gpu,
    claimed_gpus,
    launch_command,
    node_settings,
    processes_for,
    threads_per_process,
    visible_gpus,
)
from compactbio.training.processes import check_gpus, check_precisions

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
        *[sys.executable, str(ROOT / "scripts" / "start_on_node.py")],
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
    told = "import os, sys; print(os.environ['PET_RDZV_CONF'], *sys.argv[1:])"
    command = [sys.executable, ROOT / "scripts" / "start_on_node.py", sys.executable, "-c", told, HEAD[2], "as 'it' is"]
    for node, said in (("0", "is_host=1"), ("1", "is_host=0")):
        done = subprocess.run(command, env={**os.environ, "SLURM_NODEID": node}, capture_output=True, text=True)
        assert done.stdout == f"{said} {HEAD[2]} as 'it' is\n"


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


def test_cuda_counts_from_0_whichever_gpu_a_container_has(tmp_path):
    (tmp_path / "nvidia3").touch()
    assert visible_gpus({}, tmp_path) == ["0"]


HEAD = ["torchrun", "--rdzv-id=7", "--rdzv-endpoint=127.0.0.1:20007", "--", "train.py"]


def test_a_node_is_found_by_the_address_with_which_it_reaches_the_first_one(monkeypatch):
    monkeypatch.setattr(launching, "_address_towards", lambda host: {"127.0.0.1": "10.1.2.3"}[host])
    held = {"lo": [SimpleNamespace(address="127.0.0.1")], "ib0": [SimpleNamespace(address="10.1.2.3")]}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: held)
    found = {"PET_RDZV_CONF": "is_host=1", "PET_LOCAL_ADDR": "10.1.2.3", "GLOO_SOCKET_IFNAME": "ib0"}
    assert node_settings({"SLURM_NODEID": "0"}, HEAD) == found
    others = {"SLURM_NODEID": "1", "GLOO_SOCKET_IFNAME": "eth1"}  # what a site says stays
    assert node_settings(others, HEAD) == {"PET_RDZV_CONF": "is_host=0", "PET_LOCAL_ADDR": "10.1.2.3"}


def test_nodes_of_one_machine_keep_its_name(monkeypatch):
    assert node_settings({"SLURM_NODEID": "0"}, HEAD) == {"PET_RDZV_CONF": "is_host=1"}
    monkeypatch.setattr(launching, "_address_towards", lambda host: None)
    assert node_settings({"SLURM_NODEID": "1"}, HEAD) == {"PET_RDZV_CONF": "is_host=0"}


def test_a_training_without_the_gpus_it_was_started_for_does_not_begin(monkeypatch, caplog):
    check_gpus({})
    assert not caplog.text
    monkeypatch.setattr(processes, "visible_gpus", lambda environment: ["0"])
    check_gpus({})
    assert "a GPU that torch does not see, so the CPU is used" in caplog.text
    with pytest.raises(UserError, match=r"started for 2 GPU\(s\) on .* and torch sees 0 \(CUDA_VISIBLE_DEVICES=3\)"):
        check_gpus({GPUS: "2", "CUDA_VISIBLE_DEVICES": "3"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_gpus({GPUS: "2"})


def test_processes_of_several_precisions_do_not_add_up_their_gradients():
    check_precisions(["bf16", "bf16"])
    with pytest.raises(UserError, match="half is bf16 and fp16 on the GPUs of this training"):
        check_precisions(["fp16", "bf16", "fp16"])


@pytest.mark.parametrize("variable", ["CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST"])
def test_gpus_that_a_scheduler_gave_have_to_be_used(variable):
    """Where nobody gave any, on a laptop whose driver is older than torch, say, a CPU does."""
    assert launching.are_handed_out({variable: "1"}) and not launching.are_handed_out({"PATH": "/bin"})


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


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """A machine of two, nothing chosen, and what a process claims is its own until the test is over."""
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST", GPUS):
        monkeypatch.setenv(name, "")  # is taken back behind the test, whatever it is by then
        monkeypatch.delenv(name)
    monkeypatch.setattr(launching, "visible_gpus", lambda _: ["0", "1"])
    monkeypatch.setattr(launching.tempfile, "gettempdir", lambda: str(tmp_path))
    at_end = []
    monkeypatch.setattr(launching.atexit, "register", at_end.append)
    claim_gpu.cache_clear()
    yield tmp_path / f"compactbio-gpus-{os.getuid()}"
    claim_gpu.cache_clear()
    for close in at_end:
        close()


def test_a_program_s_gpu_is_one_that_is_free_and_its_own_to_the_end(two_gpus, monkeypatch):
    with claimed_gpus(1, ["0", "1"], two_gpus):
        claim_gpu()
        claim_gpu()  # between the trials of a grid and the runs
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1" and GPUS not in os.environ

    def give_up(seconds):
        raise TimeoutError

    monkeypatch.setattr(launching.time, "sleep", give_up)
    with pytest.raises(TimeoutError), claimed_gpus(2, ["0", "1"], two_gpus):
        pass


def test_a_gpu_that_was_handed_out_is_taken_as_it_is(two_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with claimed_gpus(1, ["0"], two_gpus):
        claim_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0" and os.environ[GPUS] == "1"


def test_cores_are_shared_by_the_processes():
    assert threads_per_process({"OMP_NUM_THREADS": "8"}, 4) == 2
    assert threads_per_process({"OMP_NUM_THREADS": "2"}, 4) == 1
    assert threads_per_process({}, 1) >= 1
