"""Where a result comes from: inputs by digest, code by commit, software, hardware, seconds."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from compactbio.files import write_json

PROVENANCE = "provenance.json"
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "accelerate",
    "onnx",
    "onnxruntime",
    "numpy",
    "seqeval",
    "scikit-learn",
)


def gather_provenance(inputs: dict[str, str], seconds: float, **facts: Any) -> dict[str, Any]:
    """Return the record that is stored as provenance.json beside a result.

    Args:
        inputs: content digest of each input by its name.
        seconds: wall time spent, summed over tries.
        facts: whatever else identifies the result: `fingerprint` (sha256 over everything that decided it), `outputs`
            (digest by name), its seeds, its steps. `gpu_hours` replaces what `seconds` and this process's GPUs give.
    """
    return {
        **facts,
        "inputs": inputs,
        "seconds": round(seconds, 3),
        "gpu_hours": facts.get("gpu_hours", round(seconds * gpu_count() / 3600, 5)),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "program": Path(sys.argv[0]).stem,
        "code": code_version(),
        "packages": {"python": platform.python_version(), **_package_versions()},
        "hardware": hardware(),
    }


def write_provenance(folder: Path, inputs: dict[str, str], seconds: float, **facts: Any) -> None:
    """Write provenance.json into a finished folder, whose manifest.json does not list it: times enter no digest.

    Only trainings use GPUs: of other results `gpu_hours` is 0 where `facts` do not say otherwise.
    """
    write_json(folder / PROVENANCE, gather_provenance(inputs, seconds, **{"gpu_hours": 0.0, **facts}))


def code_version() -> dict[str, Any]:
    """Return commit and dirty flag of this checkout; where it is none, both are None and `note` says why."""
    folder = Path(__file__).resolve().parents[2]
    try:
        if Path(_git(folder, "rev-parse", "--show-toplevel")).resolve() != folder:
            raise OSError("the folder lies in another project's checkout")
        commit = _git(folder, "rev-parse", "HEAD")
        dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip() or "git failed"
        note = said.splitlines()[0].removeprefix("fatal: ").partition(" (")[0]
        return {"commit": None, "dirty": None, "note": note}
    except OSError as error:
        return {"commit": None, "dirty": None, "note": str(error)}
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


def gpu_count() -> int:
    """Return how many GPUs the job uses: one for each process of a distributed run, else one where any is visible."""
    torch = sys.modules.get("torch")
    return int(os.environ.get("WORLD_SIZE", 1)) if torch is not None and torch.cuda.is_available() else 0
