"""The kernels compile for GPUs that are not here: Triton brings NVIDIA's assembler."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from helpers.configurations import ROOT

SHARED_BYTES = 99 * 1024  # of a block on sm_86 and sm_89, the least from sm_80 on


@pytest.mark.slow
def test_the_kernels_fit_into_registers_and_shared_memory(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT / 'tests'}"}
    command = [sys.executable, "-m", "helpers.compile_kernels", "80", "90"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 30
    for row in rows:
        assert row["shared"] <= SHARED_BYTES, row
        assert row["stack"] == 0, row  # nothing is spilled
        if row["program"].startswith(("row_", "forward", "backward")):
            assert row["wide_loads"] > 0, row  # not value by value
