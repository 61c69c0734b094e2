"""The script for a quarter of an hour with a GPU: its parts in order, each kept, what one ends with costs no other."""

from __future__ import annotations

import os
import subprocess

from helpers.configurations import ROOT

# stands in for Python: says what it is asked, installs what is missing unless it is `unknown`, fails at the tests as
# where one fails
PYTHON = """#!/bin/sh
here=$(dirname "$0")
case "$*" in
  "- "*) cat "$here/missing" 2>/dev/null; exit 0 ;;
  "-m pip"*) echo "installed: $*"; grep -q unknown "$here/missing" || rm "$here/missing"; exit ;;
esac
echo "ran: $*"
case "$*" in "-m pytest"*) exit 1 ;; esac
"""


def run(tmp_path, *parts, missing="", **environment):
    stand_in = tmp_path / "bin" / "python3"
    stand_in.parent.mkdir(exist_ok=True)
    stand_in.write_text(PYTHON)
    stand_in.chmod(0o755)
    if missing:
        (stand_in.parent / "missing").write_text(f"{missing}\n")
    environment |= os.environ | {"PATH": f"{stand_in.parent}:{os.environ['PATH']}"}
    command = ["bash", str(ROOT / "scripts" / "measure_gpu.sh"), str(tmp_path / "out"), *parts]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)


def test_all_parts_run_and_leave_their_output(tmp_path):
    done = run(tmp_path, missing="accelerate")
    out = tmp_path / "out"
    assert done.returncode == 0
    assert "installed: -m pip install --quiet --no-index --no-deps --find-links results/gpu-wheels acc" in done.stdout
    expected = {"tests": "-m gpu", "benchmark": "benchmark_gpu.py --minutes 3.80", "profile": "--parts profile"}
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


def test_what_is_missing_and_cannot_be_installed_ends_it_before_the_time_runs(tmp_path):
    done = run(tmp_path, missing="unknown")
    assert done.returncode == 1
    assert "missing: unknown: make gpu-wheels fetches" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_no_part_begins_that_would_end_after_the_limit(tmp_path):
    [line] = [line for line in run(tmp_path, LIMIT="90").stdout.splitlines() if line.startswith("== tests, at most")]
    assert 60 < int(line.split()[-2]) <= 90
    done = run(tmp_path, LIMIT="20")
    assert [line for line in done.stdout.splitlines() if line.startswith("==")] == [
        f"== {name}: no time" for name in ("tests", "benchmark", "profile")
    ]
    assert (tmp_path / "out" / "benchmark.txt").read_text() == "== benchmark: no time\n"


def test_a_benchmark_with_less_time_is_told_so(tmp_path):
    """Else it would be broken off before it prints its tables."""
    done = run(tmp_path, "benchmark", LIMIT="150")
    minutes = float(done.stdout.split("--minutes ")[1].split()[0])
    assert 1.9 < minutes <= (150 - 22) / 60
