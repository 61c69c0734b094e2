"""What a GPU would refuse, found without one: steps of every objective, and fine-tuning, on tensors without values."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from helpers.configurations import ROOT

from compactbio.benchmarks.cases import CASES

PROGRAM = """
import sys
from pathlib import Path
from helpers import pretended_gpu
pretended_gpu.install(Path(sys.argv[1]))
from helpers import pretended_steps
pretended_steps.main(Path(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="the pretended device is built by g++")
def test_steps_are_captured_and_mix_no_devices(tmp_path):
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    *rows, broken = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["arguments"][0] for row in rows} == {*CASES, "modernbert", "ner", "re", "qa"}
    for row in rows:
        assert row["captures"] >= 1 and "not captured" not in row["form"], row
        assert row["operations"] > 20, row
        # numbers of the step go to the GPU by pinned memory; nothing of it is waited for
        assert row["waits"].keys() <= {"pin_memory", "empty_cache"}, row
    # padded heads of 10 values come to torch's kernels filled up: of others it would write the maps
    assert {size % 8 for row in rows for size in row["heads"]} == {0}
    assert next(row["heads"] for row in rows if row["arguments"][0] == "tiny") == [16]
    forms = {tuple(row["arguments"]): row["form"] for row in rows}
    assert all("flash" in forms[case, "bf16", None] for case in ("distil", "modernbert"))
    assert "maps on the chip" in forms["compact", "bf16", None]
    assert "maps on the chip" not in forms["compact", "fp32", 2048]
    assert all("blocks fused" in form for (case, *_), form in forms.items() if case in CASES)
    assert all("logits by kernels" in forms[case, "bf16", None] for case in CASES)  # all read logits
    assert "logits by kernels" in forms["compact", "fp32", 2048]
    assert "not captured: aten._local_scalar_dense.default while capturing" in broken["form"]
