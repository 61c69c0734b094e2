"""^C at a terminal: a training saves and leaves, a second ^C leaves at once, and neither locks the next start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from helpers.finetuning import NER_LABELS, ner_rows, run_settings, write_dataset, write_model
from helpers.pretrain_program import SCRIPTS, arguments, environment, run_folder, write_world
from helpers.terminal import CONTROL_C, Terminal

from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.progress import read_metrics
from compactbio.training.tries import was_interrupted

STEPS = 200_000
HANGING_SAVE = """
import os, sys, time
sys.path.insert(0, SCRIPTS)
import pretrain_model
from compactbio.logs import run_program
from compactbio.training.trainer import Trainer

def say(text):
    if os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr, flush=True)

def take_step(trainer, number, *rest, plain=Trainer.take_step):
    if number == 3:
        say("is taking a step")
    return plain(trainer, number, *rest)

def save(trainer, number):
    say("is saving for ever")
    while True:
        time.sleep(0.1)

Trainer.take_step, Trainer.save = take_step, save
run_program(pretrain_model.main)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Student, teacher and tokens, never changed by a test."""
    return write_world(tmp_path_factory.mktemp("world"))


def folders_of(checkpoints: Path) -> list[Path]:
    return [path for path in checkpoints.glob("*") if path.is_dir()]


def steps_of(checkpoints: Path) -> int:
    """Return the newest step in the metrics of the only run in a folder."""
    lines = [line for folder in folders_of(checkpoints) for line in read_metrics(folder / "metrics.jsonl")]
    return max((line["step"] for line in lines), default=0)


def pretraining(
    world: Path, output: Path, processes: int | None, program: Path = SCRIPTS / "pretrain_model.py"
) -> Terminal:
    """Start a pre-training at a terminal: alone for None, else under launch.py."""
    line = [program, *arguments(world, output, steps=STEPS)]
    if processes is not None:
        state = output / "checkpoints" / "state.json"
        line = [SCRIPTS / "launch.py", "--processes", str(processes), "--run-state", state, "--", *line]
    return Terminal([sys.executable, *line], environment())


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of the running processes that name a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "code"), [(None, 75), (1, 1), (2, 1)])
def test_an_interrupted_pretraining_saves_and_goes_on(world: Path, tmp_path: Path, processes, code) -> None:
    for number in (1, 2, 3):  # as often as deaths would have locked it
        before = steps_of(tmp_path / "checkpoints")
        terminal = pretraining(world, tmp_path, processes)
        terminal.wait_for(lambda before=before: steps_of(tmp_path / "checkpoints") >= before + 3)
        terminal.type(CONTROL_C)
        assert terminal.end() == code, terminal.printed
        assert terminal.printed.count("SIGINT received: saving") == 1, terminal.printed
        assert "Traceback" not in terminal.printed and "leaving at once;" not in terminal.printed
        assert "run is stalled" not in terminal.printed
        state = json.loads((tmp_path / "checkpoints" / "state.json").read_text())
        assert state["reason"] == "signal"
        assert CheckpointFolder(run_folder(tmp_path)).latest_step() == state["step"] > before
        assert was_interrupted(run_folder(tmp_path)) and not processes_of(tmp_path)
        if processes == 2 and number == 1:
            break  # two processes take long to start


@pytest.mark.slow
@pytest.mark.parametrize("processes", [None, 1, 2])
def test_a_second_interruption_leaves_at_once_and_locks_nothing(world: Path, tmp_path: Path, processes) -> None:
    program = tmp_path / "program.py"  # its save never ends, as to a disk that does not answer
    program.write_text(HANGING_SAVE.replace("SCRIPTS", repr(str(SCRIPTS))))
    for _ in range(4 if processes is None else 1):
        terminal = pretraining(world, tmp_path, processes, program)
        terminal.wait_for_text("is taking a step")
        terminal.type(CONTROL_C)
        terminal.wait_for_text("is saving for ever")
        terminal.read(0.7)
        began = time.monotonic()
        terminal.type(CONTROL_C)
        assert terminal.end(60) == 130, terminal.printed
        assert time.monotonic() - began < 10
        assert terminal.printed.count("interrupted again: leaving at once") == 1, terminal.printed
        assert "Traceback" not in terminal.printed and "run is stalled" not in terminal.printed
        assert was_interrupted(run_folder(tmp_path)) and not processes_of(tmp_path)


@pytest.mark.slow
def test_an_interrupted_finetuning_saves_and_goes_on(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", masked_lm=True)
    task = write_dataset(tmp_path / "ner", "ner", {"train": ner_rows(64, 1), "test": ner_rows(8, 2)}, NER_LABELS)
    run = tmp_path / "run.yaml"
    run.write_text(yaml.safe_dump(run_settings("ner", NER_LABELS, epochs=5000), sort_keys=False))
    command = [sys.executable, SCRIPTS / "finetune_model.py", "--run", run, "--model", model, "--task", task]
    command += ["--checkpoints", tmp_path / "kept", "--output-dir", tmp_path / "output"]
    for _ in range(3):
        before = steps_of(tmp_path / "kept")
        terminal = Terminal(command, {**os.environ, "OMP_NUM_THREADS": "1"})
        terminal.wait_for(lambda before=before: steps_of(tmp_path / "kept") > before)
        terminal.type(CONTROL_C)
        assert terminal.end() == 1, terminal.printed
        assert "SIGINT received: saving" in terminal.printed and "(signal): start again" in terminal.printed
        assert "Traceback" not in terminal.printed and "run is stalled" not in terminal.printed
        [folder] = folders_of(tmp_path / "kept")
        assert CheckpointFolder(folder).latest_step() >= before and was_interrupted(folder)


def test_an_interruption_while_a_program_loads_is_one_line() -> None:
    code = "import compactbio, signal, os; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(9)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, timeout=60)
    assert ended.stderr == "interrupted\n"
    assert ended.returncode == -signal.SIGINT
