"""Where a result comes from: inputs by digest, code by commit, software, hardware, seconds."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "accelerate",
    "numpy",
    "seqeval",
    "scikit-learn",
)


def gather_provenance(fingerprint: str, inputs: dict[str, str], seconds: float, **facts: Any) -> dict[str, Any]:
    """Return the record that is stored as provenance.json beside a result.

    Args:
        fingerprint: sha256 over everything that decided the result.
        inputs: content digest of each input by its name.
        seconds: wall time spent, summed over tries.
        facts: whatever else identifies the result, such as its seeds or steps.
    """
    return {
        "fingerprint": fingerprint,
        "inputs": inputs,
        **facts,
        "seconds": round(seconds, 3),
        "gpu_hours": round(seconds * _gpu_count() / 3600, 5),
        "code": code_version(),
        "packages": {"python": platform.python_version(), **_package_versions()},
        "hardware": hardware(),
    }


def code_version() -> dict[str, Any]:
    """Return commit and dirty flag of this checkout; both None where it is not a git checkout."""
    folder = Path(__file__).resolve().parents[2]
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": dirty}


def hardware() -> dict[str, Any]:
    """Return processor, cores usable by this process and, where torch is loaded and sees them, GPUs."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpus": _gpu_names(),
    }


def _git(folder: Path, *arguments: str) -> str:
    """Return what a git command prints in a folder."""
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _package_versions() -> dict[str, str]:
    """Return the versions of the packages that can change a number."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    """Return the processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _gpu_names() -> list[str]:
    """Return the names of visible GPUs; torch is not imported for it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _gpu_count() -> int:
    """Return how many GPUs the job uses: the processes of a distributed run, else the visible ones."""
    visible = len(_gpu_names())
    return int(os.environ.get("WORLD_SIZE", visible)) if visible else 0
