"""launch.py with a program that is only a few lines: exit codes, stale states, the dry run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import launch
import pytest
from helpers.configurations import ROOT

PROGRAM = """
import json, sys
state, content, code = sys.argv[1:]
if content:
    open(state, "w").write(content)
sys.exit(int(code))
"""


def run(tmp_path, content, code, *options):
    program, state = tmp_path / "program.py", tmp_path / "state.json"
    program.write_text(PROGRAM)
    command = [
        sys.executable,
        launch.__file__,
        "--run-state",
        state,
        *options,
        "--",
        program,
        state,
        content,
        str(code),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("state", "code", "expected", "said"),
    [
        ({"finished": True}, 0, 0, ""),
        ({"finished": False, "step": 3, "total_steps": 9, "reason": "deadline"}, 0, 1, "step 3 of 9 (deadline)"),
        ({"finished": False, "step": 3, "total_steps": 9, "reason": "deadline"}, 75, 1, "step 3 of 9 (deadline)"),
        (None, 0, 1, "left no state"),
        (None, 1, 1, "ended with code 1"),
    ],
)
def test_the_state_decides_the_exit_code(tmp_path, state, code, expected, said):
    ended = run(tmp_path, json.dumps(state) if state else "", code)
    assert ended.returncode == expected, ended.stderr
    assert said in ended.stderr


def test_an_earlier_state_is_not_believed(tmp_path):
    assert run(tmp_path, json.dumps({"finished": True}), 0).returncode == 0
    assert run(tmp_path, "", 0).returncode == 1


def test_the_dry_run_prints_the_command_and_leaves_the_state(tmp_path):
    (tmp_path / "state.json").write_text("{}")
    ended = run(tmp_path, "x", 0, "--processes", "2", "--dry-run")
    assert ended.returncode == 0
    assert " -m torch.distributed.run " in ended.stdout and " --standalone --nproc-per-node=2 -- " in ended.stdout
    assert (tmp_path / "state.json").read_text() == "{}"


def test_launching_does_not_import_torch():
    code = "import sys, launch; sys.exit('torch' in sys.modules)"
    folder = Path(launch.__file__).parent
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, timeout=60, check=False).returncode == 0


def test_processes_that_do_not_divide_the_batch_are_refused_before_anything_starts(tmp_path: Path) -> None:
    command = ["--processes", "5", "--global-batch-size", "192", "--run-state", str(tmp_path / "state.json")]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "launch.py"), *command, "--", "missing.py"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "192 sequences cannot be split over 5 processes; use one of 1, 2, 3, 4, 6, 8" in done.stderr
    assert len(done.stderr.splitlines()) == 1
