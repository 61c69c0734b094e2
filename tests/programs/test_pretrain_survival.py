"""pretrain_model.py as processes: killed, asked to leave, out of disk, on one process and on two."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import pretraining as tiny
from helpers.pretrain_program import (
    SCRIPTS,
    arguments,
    call,
    environment,
    launched,
    losses,
    one_shape,
    run_folder,
    start_ranks,
    write_world,
)
from safetensors.torch import load_file

from compactbio.errors import UserError
from compactbio.pretraining.distillation import Distillation
from compactbio.pretraining.inputs import read_inputs
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.progress import read_metrics
from compactbio.training.stalls import LOSS, MEMORY
from compactbio.training.tries import Tries, note_lack_of_memory


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Student, teacher and tokens, never changed by a test."""
    return write_world(tmp_path_factory.mktemp("world"))


def wait_for_step(is_running, output, wanted):
    """Wait until the metrics have reached a step and return their last line; the run must not be over by then."""
    until = time.monotonic() + 120
    while time.monotonic() < until and is_running():
        folders = [path for path in output.glob("checkpoints/*") if path.is_dir()]
        lines = read_metrics(folders[0] / "metrics.jsonl") if folders else []
        if lines and lines[-1]["step"] >= wanted:
            return lines[-1]
        time.sleep(0.005)
    raise AssertionError(f"over before step {wanted}")


def run_ranks(line, count, prepare=None):
    """Run to the end in `count` processes."""
    ranks = start_ranks(line, count, prepare)
    for rank in ranks:
        rank.join(120)
    assert [rank.exitcode for rank in ranks] == [0] * count


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "student"), [(tiny.COMPACT, "student-plain"), (tiny.TINY, "narrow-plain")])
def test_two_processes_and_other_micro_batches_give_the_same_losses(world, tmp_path, monkeypatch, objective, student):
    """Without dropout: 1e-5 relative, in fp32."""
    chosen = {"objective": objective, "student": student, "teacher": "teacher-plain"}
    assert call(arguments(world, tmp_path / "one", **chosen), monkeypatch) == 0
    finer = arguments(world, tmp_path / "finer", **chosen, more=("--micro-batch-tokens", "24"))
    assert call(finer, monkeypatch) == 0
    ended = launched(arguments(world, tmp_path / "two", **chosen), tmp_path / "two", processes=2)
    assert ended.returncode == 0, ended.stderr
    assert "2 process(es)" in ended.stderr
    expected = losses(tmp_path / "one")
    assert losses(tmp_path / "finer") == pytest.approx(expected, rel=1e-5)
    assert losses(tmp_path / "two") == pytest.approx(expected, rel=1e-5)


def test_two_processes_with_micro_batches_of_one_shape_give_the_same_losses(world, tmp_path, monkeypatch):
    """Gradients lie in one buffer, which recorded passes add to and which is summed over the processes."""
    chosen = {"student": "student-plain", "teacher": "teacher-plain"}
    assert call(arguments(world, tmp_path / "one", **chosen), monkeypatch) == 0
    run_ranks(arguments(world, tmp_path / "two", **chosen), 2, one_shape)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    [submission] = json.loads((run_folder(tmp_path / "two") / "submissions.json").read_text())
    assert (submission["processes"], submission["micro_batches"]["layout"]) == (2, "fixed")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "optimizer"),
    [
        (1, {}),
        (2, {}),
        (
            1,
            {"optimizer": {"name": "muon"}, "parameter_groups": [{"parameters": "embed", "learning_rate_factor": 0.5}]},
        ),
    ],
    ids=["1", "2", "muon and groups"],
)
def test_a_run_killed_twice_ends_in_the_same_bits(world, tmp_path, processes, optimizer):
    """With dropout; a line of metrics over steps before and after a kill is the same too."""
    settings = {"steps": 80, "more": ("--checkpoint-every-steps", "7", "--log-every-steps", "5"), **optimizer}
    whole, cut = (arguments(world, tmp_path / name, **settings) for name in ("whole", "cut"))
    run_ranks(whole, processes)
    chosen = random.Random()  # another place each time: it must not matter
    for earliest in (10, 40):
        ranks = start_ranks(cut, processes)
        wanted = earliest + chosen.randrange(25)
        line = wait_for_step(lambda ranks=ranks: all(rank.is_alive() for rank in ranks), tmp_path / "cut", wanted)
        time.sleep(5 * chosen.random() * line["seconds_per_step"])  # anywhere between two lines
        for rank in ranks:
            rank.kill()
        for rank in ranks:
            rank.join()
        assert 0 < CheckpointFolder(run_folder(tmp_path / "cut")).latest_step() < 80
    run_ranks(cut, processes)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    record = json.loads((tmp_path / "cut" / "provenance.json").read_text())
    submissions = record["submissions"]
    assert [one["reason"] for one in submissions] == ["killed", "killed", "finished"]
    assert [one["to_step"] for one in submissions] == [*(one["from_step"] for one in submissions[1:]), 80]
    assert record["seconds"] == pytest.approx(sum(one["seconds"] for one in submissions), abs=0.01)
    ours, theirs = (run_folder(tmp_path / name) / "step-00000080" for name in ("cut", "whole"))
    assert (ours / "optimizer.pt").read_bytes() == (theirs / "optimizer.pt").read_bytes()
    # tensor by tensor: safetensors writes the names of tied weights into the header in an order of its own
    weights, expected = (load_file(folder / "model.safetensors") for folder in (ours, theirs))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "processes"),
    [(number, count) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT) for count in (1, 2)],
)
def test_a_signal_through_the_launcher_saves_and_leaves(world, tmp_path, number, processes):
    line = arguments(world, tmp_path, steps=20000)
    state = tmp_path / "checkpoints" / "state.json"
    command = [sys.executable, SCRIPTS / "launch.py", "--processes", str(processes), "--run-state", state, "--"]
    command += [SCRIPTS / "pretrain_model.py", *line]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    wait_for_step(lambda: process.poll() is None, tmp_path, 5)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 1, printed
    assert f"{number.name} received" in printed
    assert "unfinished at step" in printed
    left = json.loads(state.read_text())
    assert left["reason"] == "signal"
    assert CheckpointFolder(run_folder(tmp_path)).latest_step() == left["step"] >= 5
    assert not (run_folder(tmp_path) / "stalled").exists()


def no_room_in_the_second():
    forward = Distillation.forward

    def run_out(self, *given):
        if os.environ["RANK"] == "1":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, *given)

    Distillation.forward = run_out


def killed_in_its_first_step():
    Distillation.forward = lambda *_: os._exit(9)


def submissions_of(output):
    return json.loads((run_folder(output) / "submissions.json").read_text())


def test_a_lack_of_memory_of_another_process_is_one_of_the_submission(world, tmp_path):
    """The main process loses a connection only, or is killed; then the trace says it."""
    lost, killed = (tmp_path / name for name in ("lost", "killed"))
    ranks = start_ranks(arguments(world, lost, steps=12), 2, no_room_in_the_second)
    for rank in ranks:
        rank.join(120)
    assert [rank.exitcode for rank in ranks] == [1, 1]
    assert [one["out_of_memory"] for one in submissions_of(lost)] == [True]
    assert json.loads((run_folder(lost) / "tries.json").read_text())["counts"] == {MEMORY: 1}
    line = arguments(world, killed, steps=12)
    [rank] = start_ranks(line, 1, killed_in_its_first_step)
    rank.join(120)
    note_lack_of_memory(run_folder(killed), torch.OutOfMemoryError("CUDA out of memory"))
    run_ranks(line, 1)
    first, last = submissions_of(killed)
    assert (first["reason"], first["out_of_memory"]) == ("killed", True)
    assert (last["reason"], "out_of_memory" in last) == ("finished", False)


def test_no_process_of_a_stalled_run_outlives_the_first(world, tmp_path, monkeypatch):
    """torchrun then sends a signal, which one that waits for the others in torch would not notice."""
    line = arguments(world, tmp_path)
    given = {name: Path(line[line.index(f"--{name}") + 1]) for name in ("run", "student", "teacher")}
    tokens = [world / "tokens" / "0001", world / "tokens" / "0002"]
    folder = tmp_path / "checkpoints" / read_inputs(*given.values(), tokens).fingerprint
    folder.mkdir(parents=True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    Tries(folder, micro_batch_tokens=72).stall(LOSS, "the loss diverges")
    first, second = start_ranks(line, 2)
    first.join(60)
    assert first.exitcode == 1
    second.terminate()
    second.join(10)
    assert second.exitcode == -signal.SIGTERM
    assert (folder / "stalled").exists()


def test_a_full_disk_keeps_the_previous_checkpoint_and_the_run_goes_on_from_it(world, tmp_path, monkeypatch):
    more = ("--checkpoint-every-steps", "4")
    whole, cut = (arguments(world, tmp_path / name, steps=12, more=more) for name in ("whole", "cut"))
    assert call(whole, monkeypatch) == 0
    save, saves = torch.save, []

    def full_from_the_second_on(value, path):
        saves.append(path)
        if len(saves) > 1:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(value, path)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full_from_the_second_on)
        with pytest.raises(UserError, match=r"step 8 could not be written.*free disk space.*step-00000004"):
            call(cut, patched)
    kept = run_folder(tmp_path / "cut")
    assert [path.name for path in kept.glob("*step-*")] == ["step-00000004"]
    assert not (kept / "stalled").exists()  # four steps were gained
    assert call(cut, monkeypatch) == 0
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_a_torn_newest_checkpoint_costs_the_steps_since_the_one_before(world, tmp_path, monkeypatch, caplog):
    line = arguments(world, tmp_path, steps=12, more=("--checkpoint-every-steps", "5"))
    assert call(line, monkeypatch) == 0
    whole = losses(tmp_path)
    newest = run_folder(tmp_path) / "step-00000012" / "optimizer.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    with caplog.at_level("INFO"):
        assert call(line, monkeypatch) == 0
    assert "step-00000012 is not sound" in caplog.text
    assert f"resuming from {run_folder(tmp_path) / 'step-00000010'}" in caplog.text
    assert losses(tmp_path) == whole
    assert CheckpointFolder(run_folder(tmp_path)).latest_step() == 12
