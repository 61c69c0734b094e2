"""`--sdm apptainer` runs the jobs in the image of envs/container.def, with a stand-in for Apptainer."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from helpers.configurations import ROOT

from workflow.conftest import demo_configuration, run_snakemake

pytestmark = pytest.mark.slow

STAND_IN = """#!/bin/bash
if [ "$1" = --version ]; then echo "apptainer version 1.3.4"; exit; fi
echo "$@" >> "$CALLS"
while [ "$1" != exec ]; do shift; done
shift
while [[ "$1" == --* ]]; do shift 2; done
[ -f "$1" ] && shift && exec "$@"
"""


@pytest.fixture()
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the checkout, and the stand-in among the commands."""
    for name in ("rules", "scripts", "config", "envs"):
        shutil.copytree(
            ROOT / name, tmp_path / "checkout" / name, ignore=shutil.ignore_patterns("__pycache__", "*.sif")
        )
    shutil.copy(ROOT / "Snakefile", tmp_path / "checkout")
    program = tmp_path / "bin" / "apptainer"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "checkout"


def test_jobs_run_in_the_image_and_a_missing_one_is_told_how_to_build(checkout: Path, miniature_folder: Path) -> None:
    target = "results/demo/tasks/sources/miniature_datasets.json"
    command = ["--snakefile", str(checkout / "Snakefile"), *demo_configuration(), "--sdm", "apptainer", "--"]
    refused = run_snakemake(miniature_folder, *command, target)
    assert refused.returncode != 0
    assert "compactbio.sif is not there: build it with `apptainer build envs/compactbio.sif" in refused.stderr
    (checkout / "envs" / "compactbio.sif").touch()
    done = run_snakemake(miniature_folder, "--force", *command, target)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (miniature_folder / target).is_file()
    [call] = (checkout.parent / "calls").read_text().splitlines()
    assert re.search(r"exec .*checkout/envs/compactbio\.sif bash -c .*python \S*scripts/fetch_task_data\.py", call)


def test_both_images_have_one_base_and_one_recipe() -> None:
    docker, apptainer = ((ROOT / "envs" / name).read_text() for name in ("Dockerfile", "container.def"))
    [base] = re.findall(r"^FROM (\S+)$", docker, re.MULTILINE)
    assert re.findall(r"^From: (\S+)$", apptainer, re.MULTILINE) == [base]
    assert re.fullmatch(r"docker\.io/library/python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)
    steps = [
        re.findall(r"(?:python -m pip|apt-get update) .*?(?= \\?$|$)", text, re.MULTILINE)
        for text in (docker, apptainer)
    ]
    assert steps[0] == steps[1]
    compiler, *steps[0] = steps[0]
    assert re.search(r" install .* gcc libc6-dev ", compiler), "Triton has nothing to build with"
    assert "--require-hashes --no-deps -r /opt/requirements.lock" in steps[0][0]
