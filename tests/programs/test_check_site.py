"""check_site.py where there is no SLURM: what it says all the same, in one table, and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import check_site
from helpers.configurations import CONFIG, read

from compactbio.cluster.timings import timed_settings
from compactbio.files import write_json
from compactbio.settings.results import Results

DEMANDS = {"pretrain_model": {"runtime": 60, "mem_mb": 32000, "threads": 8, "gpu": 2, "nodes": 1}}


def test_the_table_without_slurm(tmp_path: Path) -> None:
    """With a measurement of one model: 40 steps of 54 s, tried with one GPU, are 18 minutes with two."""
    trial = {"seconds_per_step": 54.0, "peak_memory_mb": 100.0, "gpus": 1, "hardware": "A100"}
    kept = {"TinyBioBERT": trial | {"settings": timed_settings(read("demo.yaml"), "TinyBioBERT")}}
    write_json(Results(tmp_path / "results/demo").measured_trainings, kept)
    command = [sys.executable, check_site.__file__, "--configfile", CONFIG / "demo.yaml"]
    command += ["--demands", json.dumps(DEMANDS), "--missing-downloads", "0", "9"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PATH": ""}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "downloads ok all 9 are there" in lines
    assert "SLURM look its commands are not here: for its profile, start this where sbatch is" in lines
    assert "hours TinyBioBERT ok 18 min on 2 GPUs, 40 steps of 27 s, peak 100 MB, 1 submission" in lines
    fast = next(line for line in lines if line.startswith("hours if fast"))
    assert fast.startswith("hours if fast look config/fast.yaml, the same in half precision: not measured")
    assert any(line.startswith("disk ok ") for line in lines)
    assert any(line.startswith("quota look not known: neither `quota` nor `lfs` is here") for line in lines)
    assert any(line.startswith("hours look not measured: ") and "DistilBioBERT" in line for line in lines)
