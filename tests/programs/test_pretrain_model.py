"""pretrain_model.py on tiny models: resume to the bit, processes, fingerprints, refusals, export."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pretrain_model
import pytest
import torch
import yaml
from helpers import pretraining as tiny
from safetensors.torch import load_file

from compactbio.errors import UserError
from compactbio.files import write_manifest
from compactbio.pretraining import batches, training
from compactbio.training import loop
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.progress import read_metrics

SCRIPTS = Path(pretrain_model.__file__).parent


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Student, teacher, tokens and run files, never changed by a test."""
    folder = tmp_path_factory.mktemp("world")
    tiny.write_store(folder / "tokens" / "0001", count=30, seed=1)
    tiny.write_store(folder / "tokens" / "0002", count=20, seed=2)
    for name, dropout in (("", 0.1), ("-plain", 0.0)):
        tiny.write_checkpoint(folder / f"teacher{name}", tiny.bert(layers=4, dropout=dropout, seed=1))
        tiny.write_checkpoint(folder / f"student{name}", tiny.bert(layers=2, dropout=dropout, seed=2))
        tiny.write_checkpoint(folder / f"narrow{name}", tiny.bert(layers=2, hidden=16, dropout=dropout, seed=3))
    return folder


@pytest.fixture
def own_world(world, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(world, tmp_path / "world")


def arguments(world, output, objective=tiny.DISTIL, *, student="student", teacher="teacher", more=(), **changes):
    """The command line of a run whose run.yaml is written here."""
    output.mkdir(parents=True, exist_ok=True)
    run = tiny.run_settings(objective, **changes)
    (output / "run.yaml").write_text(yaml.safe_dump(run))
    line = ["--run", output / "run.yaml", "--student", world / student]
    if run["teacher"] is not None:
        line += ["--teacher", world / teacher]
    line += ["--tokens", world / "tokens" / "0001", world / "tokens" / "0002" / "manifest.json"]
    line += ["--checkpoints", output / "checkpoints", "--output", output / "training.json"]
    line += ["--provenance", output / "provenance.json"]
    line += ["--micro-batch-tokens", "72", "--log-every-steps", "1"]
    return [str(part) for part in (*line, *more)]


def call(line, monkeypatch):
    """Run main() here; return its exit code."""
    torch.set_num_threads(1)
    monkeypatch.setattr(sys, "argv", ["pretrain_model.py", *line])
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        pretrain_model.main()
    except SystemExit as end:
        return end.code
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0


def run_folder(output):
    [folder] = [path for path in (output / "checkpoints").iterdir() if path.is_dir()]
    return folder


def losses(output):
    return [line["loss"] for line in read_metrics(run_folder(output) / "metrics.jsonl")]


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""}


def launched(line, output, processes):
    """Run through launch.py; return the finished process."""
    state = output / "checkpoints" / "state.json"
    command = [sys.executable, SCRIPTS / "launch.py", "--processes", str(processes), "--run-state", state, "--"]
    return subprocess.run(
        [*command, SCRIPTS / "pretrain_model.py", *line],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("objective", "student"),
    [(tiny.DISTIL, "student"), (tiny.COMPACT, "student"), (tiny.TINY, "narrow"), (tiny.MLM, "student")],
)
def test_each_objective_trains_and_leaves_its_records(world, tmp_path, monkeypatch, objective, student):
    assert call(arguments(world, tmp_path, objective, student=student), monkeypatch) == 0
    record = json.loads((tmp_path / "training.json").read_text())
    assert (record["step"], record["total_steps"], record["model"]) == (6, 6, "Small")
    assert record["loss_first"] == losses(tmp_path)[0]
    assert record["loss_last"] == losses(tmp_path)[-1]
    assert Path(record["checkpoint"]).name == "step-00000006"
    assert run_folder(tmp_path).name == record["fingerprint"]
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    roles = {"student", "tokens/0001", "tokens/0002"} | ({"teacher"} if objective is not tiny.MLM else set())
    assert provenance["inputs"].keys() == roles
    terms = {line["term"] for line in objective}
    assert all(line["terms"].keys() == terms for line in read_metrics(run_folder(tmp_path) / "metrics.jsonl"))


def test_training_lowers_the_loss(world, tmp_path, monkeypatch):
    line = arguments(world, tmp_path, tiny.DISTIL, student="student-plain", steps=60, peak_learning_rate=1e-2)
    assert call(line, monkeypatch) == 0
    seen = losses(tmp_path)
    assert sum(seen[-10:]) < 0.8 * sum(seen[:10])


def test_finished_ends_at_once_and_writes_the_outputs_again(world, tmp_path, monkeypatch):
    line = arguments(world, tmp_path)
    call(line, monkeypatch)
    written = (tmp_path / "training.json").read_bytes()
    (tmp_path / "training.json").unlink()
    monkeypatch.setattr(pretrain_model, "train", None)  # would fail if called
    assert call(line, monkeypatch) == 0
    assert (tmp_path / "training.json").read_bytes() == written


class Clock:
    """Stands in for the module `time` of the loop; its time can be moved on."""

    def __init__(self):
        self.ahead = 0.0

    def monotonic(self):
        return time.monotonic() + self.ahead


def test_a_deadline_leaves_unfinished_and_the_next_try_goes_on(world, tmp_path, monkeypatch):
    whole = arguments(world, tmp_path / "whole", steps=30)
    cut = arguments(world, tmp_path / "cut", steps=30)
    assert call(whole, monkeypatch) == 0
    clock = Clock()

    class Slow(batches.PretrainingBatches):
        def __call__(self, step):
            clock.ahead += 3600.0 if step == 12 else 0.0
            return super().__call__(step)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "time", clock)
        patched.setattr(training, "PretrainingBatches", Slow)
        assert call([*cut, "--max-minutes", "30"], patched) == pretrain_model.UNFINISHED
    state = json.loads((tmp_path / "cut" / "checkpoints" / "state.json").read_text())
    assert (state["finished"], state["reason"]) == (False, "deadline")
    assert state["step"] in (10, 11)
    assert not (tmp_path / "cut" / "training.json").exists()
    assert call(cut, monkeypatch) == 0
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_a_try_without_gain_stalls_the_next_before_torch(world, tmp_path, monkeypatch):
    line = arguments(world, tmp_path)
    assert call([*line, "--max-minutes", "0.00001"], monkeypatch) == pretrain_model.UNFINISHED
    marker = run_folder(tmp_path) / "stalled"
    program = [sys.executable, "-X", "importtime", SCRIPTS / "pretrain_model.py", *line]
    again = subprocess.run(program, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 1
    assert f"rm '{marker}'" in again.stderr
    assert " torch\n" not in again.stderr
    marker.unlink()
    assert call(line, monkeypatch) == 0


@pytest.mark.parametrize("part", ["run", "student", "teacher", "tokens"])
def test_one_changed_byte_starts_from_the_first_step(own_world, tmp_path, monkeypatch, part):
    output = tmp_path / "out"
    call(arguments(own_world, output), monkeypatch)
    before = run_folder(output)
    changes = {}
    if part == "run":
        changes["seed"] = 43
    else:
        folder = own_world / ("tokens/0001" if part == "tokens" else part)
        file = folder / ("ids.npy" if part == "tokens" else "model.safetensors")
        content = bytearray(file.read_bytes())
        content[-2] ^= 1  # the last token's low byte, or a bit of the last weight
        file.write_bytes(content)
        manifest = json.loads((folder / "manifest.json").read_text())
        write_manifest(folder, **{key: value for key, value in manifest.items() if key not in ("digest", "files")})
    assert call(arguments(own_world, output, **changes), monkeypatch) == 0
    [after] = {path for path in (output / "checkpoints").iterdir() if path.is_dir()} - {before}
    assert [line["step"] for line in read_metrics(after / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_damaged_weights_are_refused(own_world, tmp_path, monkeypatch):
    file = own_world / "teacher" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"teacher/model.safetensors differs from its digest"):
        call(arguments(own_world, tmp_path / "out"), monkeypatch)


def test_other_tokenizers_are_refused_naming_both(own_world, tmp_path, monkeypatch):
    shutil.rmtree(own_world / "teacher")
    tiny.write_checkpoint(own_world / "teacher", tiny.bert(layers=4), digest="e" * 64)
    with pytest.raises(UserError, match=r"student .*student and of teacher .*teacher differ"):
        call(arguments(own_world, tmp_path / "out"), monkeypatch)


@pytest.mark.parametrize(
    ("changes", "more", "message"),
    [
        ({}, ("--micro-batch-tokens", "23"), r"--micro-batch-tokens 23 is less than .* at least 24"),
        ({"max_length": 20}, (), r"max_length is 20, but the token store .* was made with 24"),
        ({"max_length": 64}, (), r"max_length: 64 is more than the 32 positions"),
        ({"warmup_steps": 99}, (), "warmup_steps"),
        ({"precision": "fp8"}, (), "precision"),
        ({"precision": "fp16"}, (), "fp16 needs a GPU"),
        ({"objective": [{"term": "hidden_cosine", "weight": 1.0, "layers": [[2, 9]]}]}, (), "layers outside 0 to 4"),
    ],
)
def test_settings_that_cannot_run_are_refused(world, tmp_path, monkeypatch, changes, more, message):
    with pytest.raises(UserError, match=message):
        call(arguments(world, tmp_path, more=more, **changes), monkeypatch)


def test_an_impossible_split_and_a_missing_teacher_are_refused(world, tmp_path, monkeypatch):
    line = arguments(world, tmp_path)
    place = line.index("--teacher")
    with pytest.raises(UserError, match="give its folder with --teacher"):
        call(line[:place] + line[place + 2 :], monkeypatch)
    monkeypatch.setattr(sys, "argv", ["pretrain_model.py", *line])
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match="8 sequences cannot be split over 3 processes; use one of 1, 2, 4, 8"):
        pretrain_model.main()


def test_a_run_file_without_a_key_is_refused(world, tmp_path, monkeypatch):
    line = arguments(world, tmp_path)
    run = copy.deepcopy(tiny.run_settings(tiny.DISTIL))
    del run["optimisation"]["steps"], run["seed"]
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    with pytest.raises(UserError, match=r"lacks seed, optimisation.steps"):
        call(line, monkeypatch)


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


@pytest.mark.slow
def test_a_run_killed_twice_ends_in_the_same_bits(world, tmp_path):
    """With dropout, one process, one thread."""
    settings = {"steps": 100, "more": ("--checkpoint-every-steps", "7")}
    program = [sys.executable, SCRIPTS / "pretrain_model.py"]
    whole = arguments(world, tmp_path / "whole", **settings)
    subprocess.run([*program, *whole], env=environment(), check=True, capture_output=True, timeout=200)
    cut = arguments(world, tmp_path / "cut", **settings)
    chosen = random.Random()  # another place each time: it must not matter
    for earliest in (10, 50):
        process = subprocess.Popen([*program, *cut], env=environment(), stderr=subprocess.DEVNULL)
        wanted = earliest + chosen.randrange(30)
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            folders = [path for path in (tmp_path / "cut").glob("checkpoints/*") if path.is_dir()]
            if folders and len(read_metrics(folders[0] / "metrics.jsonl")) >= wanted:
                break
            time.sleep(0.005)
        assert process.poll() is None, f"over before it could be killed at step {wanted}"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert 0 < CheckpointFolder(run_folder(tmp_path / "cut")).latest_step() < 100
    subprocess.run([*program, *cut], env=environment(), check=True, capture_output=True, timeout=200)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    ours, theirs = (run_folder(tmp_path / name) / "step-00000100" for name in ("cut", "whole"))
    assert (ours / "optimizer.pt").read_bytes() == (theirs / "optimizer.pt").read_bytes()
    # tensor by tensor: safetensors writes the names of tied weights into the header in an order of its own
    weights, expected = (load_file(folder / "model.safetensors") for folder in (ours, theirs))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_sigterm_through_the_launcher_saves_and_leaves(world, tmp_path):
    line = arguments(world, tmp_path, steps=2000)
    state = tmp_path / "checkpoints" / "state.json"
    command = [sys.executable, SCRIPTS / "launch.py", "--gpus", "1", "--run-state", state, "--"]
    process = subprocess.Popen(
        [*command, SCRIPTS / "pretrain_model.py", *line], env=environment(), stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and not list(tmp_path.glob("checkpoints/*/metrics.jsonl")):
        time.sleep(0.05)
    time.sleep(0.5)
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1, told
    assert "unfinished at step" in told
    left = json.loads(state.read_text())
    assert left["reason"] == "signal"
    assert CheckpointFolder(run_folder(tmp_path)).latest_step() == left["step"] > 0
    assert not (run_folder(tmp_path) / "stalled").exists()
