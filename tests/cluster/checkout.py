"""A copy of this checkout as a user has it, and Snakemake started in it on the cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from helpers.configurations import ROOT

RESULTS = "results/cluster"
QUICKLY = (
    *("--slurm-init-seconds-before-status-checks", "1", "--max-status-checks-per-second", "10"),
    *("--latency-wait", "15"),
)
CONFIGURATION = ("--configfile", "config/demo.yaml", "tests/cluster/cluster.yaml")
SINGLE = ("pretrain_model", "finetune_model", "measure_efficiency", "measure_deployment")
ONE_THREAD = ("--set-threads", *(f"{rule}=1" for rule in SINGLE))


class Checkout:
    """A folder in which the workflow is run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []
        binaries = Path(sys.executable).parent
        self.environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def copy_tracked_files(self) -> None:
        """Take what git would give to others, changes not yet committed included."""
        command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
            if (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)

    def copied(self, folder: Path) -> Checkout:
        """Return a copy with all results, in which another Snakemake may run at the same time."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Checkout(folder)

    def start(self, *command: str, log: str) -> subprocess.Popen[str]:
        """Start a Python program in the folder; its output goes to a file there."""
        with (self.folder / log).open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self._started.append(process)
        return process

    def end_all(self) -> None:
        """End what was started here and still runs, as after a failed test."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()

    def start_workflow(self, *arguments: str, log: str) -> subprocess.Popen[str]:
        """Start Snakemake with the SLURM profile as it stands; the options given only make waiting short."""
        command = ("tests/cluster/snakemake_quickly.py", "--profile", "profiles/slurm", *QUICKLY, *ONE_THREAD)
        return self.start(*command, *CONFIGURATION, *arguments, log=log)

    def run_program(self, *command: str, minutes: float = 3) -> str:
        """Return what a Python program of the checkout prints on both streams; it must succeed."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60 * minutes,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def write(self, name: str, content: Any) -> str:
        """Write a YAML file and return its name."""
        (self.folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
        return name

    def path(self, *parts: str) -> Path:
        """Return a path below the results."""
        return self.folder.joinpath(RESULTS, *parts)

    def log(self, name: str) -> str:
        """Return the end of a log."""
        return (self.folder / name).read_text(encoding="utf-8", errors="replace")[-6000:]
