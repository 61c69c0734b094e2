"""The script for a quarter of an hour with a GPU: its parts in order, each kept, what one ends with costs no other."""

from __future__ import annotations

import os
import subprocess

from helpers.configurations import ROOT

# stands in for Python: says what it is asked, fails at the tests as where one fails
PYTHON = """#!/bin/sh
case "$*" in
  "-") echo accelerate; exit 0 ;;
  "-m pip"*) echo "installed: $*"; exit 1 ;;
esac
echo "ran: $*"
case "$*" in "-m pytest"*) exit 1 ;; esac
"""


def run(tmp_path, *parts):
    stand_in = tmp_path / "bin" / "python3"
    stand_in.parent.mkdir(exist_ok=True)
    stand_in.write_text(PYTHON)
    stand_in.chmod(0o755)
    environment = os.environ | {"PATH": f"{stand_in.parent}:{os.environ['PATH']}"}
    command = ["bash", str(ROOT / "scripts" / "measure_gpu.sh"), str(tmp_path / "out"), *parts]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)


def test_all_parts_run_and_leave_their_output(tmp_path):
    done = run(tmp_path)
    out = tmp_path / "out"
    assert done.returncode == 0
    assert "missing: accelerate" in done.stdout
    expected = {"tests": "-m gpu", "benchmark": "benchmark_gpu.py --output-dir", "profile": "--parts profile"}
    for name, words in expected.items():
        text = (out / f"{name}.txt").read_text()
        assert words in text
        assert f"== {name} ended with {1 if name == 'tests' else 0}" in text
    assert (out / "machine.txt").is_file()
    assert [line.split()[1] for line in done.stdout.splitlines() if "at most" in line] == [
        f"{name}," for name in expected
    ]


def test_parts_can_be_chosen_and_an_unknown_one_is_refused(tmp_path):
    assert run(tmp_path, "profile").returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["machine.txt", "profile.txt"]
    refused = run(tmp_path, "nonsense")
    assert refused.returncode == 1
    assert "unknown part: nonsense" in refused.stderr
