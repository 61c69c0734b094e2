"""What trainings launch compiles for GPUs that are not here, in every type and size of theirs, and hardly spills."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from helpers.configurations import ROOT

SHARED_BYTES = 99 * 1024  # of a block on sm_86 and sm_89, the least from sm_80 on
STACK_BYTES = 8  # a register or two, where the assembler prefers that to fewer programs at a time
PROGRAMS = {"forward", "backward", "row_values", "row_gradients"}
PROGRAMS |= {"attend", "attend_backward_queries", "attend_backward_keys", "compare", "compare_keys"}


def launches(folder, *arguments):
    """What is compiled, in a process that compiles."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(folder), "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT / 'tests'}"}
    command = [sys.executable, "-m", "helpers.compile_kernels", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["80", "90"])
def test_all_that_is_launched_fits_and_reads_more_than_single_values(capability, tmp_path):
    rows = launches(tmp_path, capability)
    assert {row["program"] for row in rows} == PROGRAMS
    for row in rows:
        assert row["shared"] <= SHARED_BYTES, row
        assert row["stack"] <= STACK_BYTES, row
        assert row["narrow_loads"] <= 1, row  # a label's logit


@pytest.mark.slow
def test_a_training_launches_what_its_trials_have_compiled(tmp_path):
    """Whatever the sizes of a trial: to compile once more takes seconds, and is not possible in a capture."""
    assert launches(tmp_path, "90", "trials") == []
