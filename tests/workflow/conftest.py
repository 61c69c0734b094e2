"""A folder in which the workflow of this checkout runs, and the miniature made and run in it once."""

from __future__ import annotations

import atexit
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml
from helpers.configurations import CONFIG, ROOT
from helpers.planning import Planner

Snakemake = Callable[..., subprocess.CompletedProcess[str]]


def run_snakemake(folder: Path, *arguments: str, minutes: float = 15) -> subprocess.CompletedProcess[str]:
    """Run Snakemake on this checkout's workflow with `folder` as working directory."""
    line = ["--snakefile", str(ROOT / "Snakefile"), "--cores", "2", *arguments]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if "--dry-run" in arguments:
        return planner().run(folder, line, environment)
    command = [sys.executable, "-m", "snakemake", *line]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60 * minutes)


@cache
def planner() -> Planner:
    """Return the process that does the dry runs of this one."""
    process = Planner()
    atexit.register(process.close)
    return process


def jobs_of(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Return the jobs per rule that a dry run lists; none where there is nothing to do."""
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: int(count) for name, count in re.findall(r"^(\w[\w.-]*)\s+(\d+)$", done.stdout, re.MULTILINE)}


def touch_mirror(folder: Path) -> None:
    """Make the files, empty, that examples of configurations and the second miniature expect in a folder."""
    names = []
    for path in (CONFIG / "demo_more.yaml", *CONFIG.glob("examples/*.yaml")):
        text = path.read_text(encoding="utf-8")
        names += re.findall(r'"\{mirror\}/([\w.]+\.(?:txt\.gz|jsonl))"', text)
        for dataset in yaml.safe_load(text).get("datasets", {}).values():
            place, _, inside = dataset.get("folder", "").partition("{mirror}/")
            names += [f"{inside}/{file}" for file in dataset.get("files", {}).values() if inside and not place]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.fixture(scope="session")
def miniature_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory that holds the generated data where config/demo.yaml expects them."""
    folder = tmp_path_factory.mktemp("workflow")
    command = [sys.executable, str(ROOT / "scripts" / "make_miniature.py"), "--output", "results/demo/miniature"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=300)
    return folder


@pytest.fixture(scope="session")
def finished_miniature(miniature_folder: Path) -> Path:
    """The same directory after the whole workflow has run there."""
    done = run_snakemake(miniature_folder, "--profile", str(ROOT / "profiles" / "demo"), *demo_configuration())
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return miniature_folder


@pytest.fixture(scope="session")
def report(finished_miniature: Path) -> Path:
    """The report of that run, one HTML file."""
    done = run_snakemake(finished_miniature, "--report", "report.html", *demo_configuration())
    assert done.returncode == 0, done.stderr[-3000:]
    return finished_miniature / "report.html"


def demo_configuration(*others: str) -> list[str]:
    """Return the option that loads the miniature's configuration and others over it."""
    return ["--configfile", str(CONFIG / "demo.yaml"), *others]
