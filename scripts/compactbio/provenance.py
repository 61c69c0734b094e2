"""Where a result comes from: inputs by digest, code by commit, software, hardware, seconds."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NotRequired, TypedDict, Unpack

from compactbio.digests import AGAIN, Recorded, require_same, sha256_of_file
from compactbio.errors import reading
from compactbio.files import MANIFEST, read_json, write_json, write_text

PROVENANCE = "provenance.json"
NOTED = ".sha256"  # ends the name of a file that holds the digest of the file beside it
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


class Code(TypedDict):
    """Commit and dirty flag of a checkout; both None where it is none, and `note` says why."""

    commit: str | None
    dirty: bool | None
    note: NotRequired[str]


class Hardware(TypedDict):
    """The CPU's name, the cores that the process may use, the names of its GPUs."""

    processor: str
    cores: int | None
    gpus: list[str]


class Found(TypedDict, total=False):
    """What a start of a pre-training finds out once torch is loaded, and how it ended."""

    gpus: int
    device: str
    precision: str
    """What the configuration's `half` was."""
    deterministic: bool
    micro_batches: dict[str, Any]
    """Their layout and sizes, and whether these were found `automatic`ally."""
    out_of_memory: bool


class Submission(Found):
    """One start of a pre-training; what it does not know until its end, or until torch is loaded, may be missing."""

    job: str | None
    host: str
    started: str
    processes: int
    from_step: int
    before: NotRequired[float]  # seconds that earlier submissions left in a checkpoint, until this one ends
    to_step: NotRequired[int]
    seconds: NotRequired[float]
    reason: NotRequired[str]


class Facts(TypedDict, total=False):
    """What identifies a result beside its inputs, each kind of result by some of it; older versions recorded less."""

    outputs: dict[str, str]  # digests by name
    fingerprint: str  # sha256 over everything that decided the result
    recipe: int
    gpu_hours: float  # instead of what `seconds` and this process's GPUs give
    model: str
    dataset: str
    source: str | None  # row of config/data_sources.tsv
    seed: int
    seeds: list[int]
    fold: int
    precision: str  # of a run of fine-tuning, what `half` was; older versions recorded none of these three
    deterministic: bool
    at_once: int  # runs that shared the device
    steps: int
    tries: int
    submissions: list[Submission]
    runs: dict[str, Any]  # a fine-tuning's, by name: the record of each; in older versions its fingerprint alone
    trials: dict[str, Any]  # of a grid, by fingerprint


class Provenance(Facts):
    """Content of provenance.json."""

    inputs: dict[str, str]
    seconds: float
    finished: NotRequired[str]  # older versions wrote neither
    program: NotRequired[str]
    code: Code
    packages: dict[str, str]
    hardware: Hardware


def gather_provenance(inputs: dict[str, str], seconds: float, **facts: Unpack[Facts]) -> Provenance:
    """Return the record that is stored as provenance.json beside a result.

    Args:
        inputs: content digest of each input by its name.
        seconds: wall time spent, summed over tries.
        facts: whatever else identifies the result.
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


def write_provenance(folder: Path, inputs: dict[str, str], seconds: float, **facts: Unpack[Facts]) -> None:
    """Write provenance.json into a finished folder, whose manifest.json does not list it: times enter no digest.

    Only trainings use GPUs: of other results `gpu_hours` is 0 where `facts` do not say otherwise.
    """
    facts.setdefault("gpu_hours", 0.0)
    write_json(folder / PROVENANCE, gather_provenance(inputs, seconds, **facts))


def read_provenance(path: Path) -> Provenance:
    """Return the content of a provenance.json.

    Raises:
        UserError: the file is missing or is none.
    """
    record: Provenance = read_json(path, Provenance, f"delete {path.parent} and {AGAIN}")
    return record


def note_digest(path: Path) -> None:
    """Write a result's sha256 beside it, in the form of `sha256sum`, where it has no provenance.json of its own."""
    write_text(path.with_name(f"{path.name}{NOTED}"), f"{sha256_of_file(path)}  {path.name}\n")


def noted_digest(record: Path) -> Recorded:
    """Return a result with the digest in the file beside it that `note_digest` wrote.

    Raises:
        UserError: the file holds no digest.
    """
    path = record.with_suffix("")
    with reading(record, f"delete it and {path} and {AGAIN}"):
        [digest, _] = record.read_text(encoding="utf-8").split()
    return Recorded(path, digest, record, f"delete {path} and {AGAIN}")


def require_written(*paths: Path) -> None:
    """Compare results with the digests that their program left beside them, in provenance.json or by `note_digest`.

    What has no such record, or is not there, is taken as it is: a user's own file, or one of an older version.

    Raises:
        UserError: a file is not what its record says.
    """
    for path in paths:
        record = path.with_name(PROVENANCE)
        if path.is_file() and record.is_file():
            outputs = recorded_outputs(path.parent, read_provenance(record), record)
            require_same(output for output in outputs if output.path == path)
        noted = path.with_name(f"{path.name}{NOTED}")
        if path.is_file() and noted.is_file():
            require_same([noted_digest(noted)])


def recorded_outputs(folder: Path, provenance: Provenance, record: Path) -> list[Recorded]:
    """Return the files of a folder with the digests that a record of how they were made has of them.

    The digest of a folder as a whole is left out: its manifest has those of the files.
    """
    return [
        Recorded(folder / name, digest, record, f"delete {folder / name} and {AGAIN}")
        for name, digest in provenance.get("outputs", {}).items()
        if name != MANIFEST and not (folder / name).is_dir()
    ]


def code_version() -> Code:
    """Return commit and dirty flag of this checkout."""
    folder = Path(__file__).resolve().parents[2]
    try:
        if Path(_git(folder, "rev-parse", "--show-toplevel")).resolve() != folder:
            raise OSError("the folder lies in another project's checkout")
        commit = _git(folder, "rev-parse", "HEAD")
        dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except subprocess.CalledProcessError as error:
        reported = (error.stderr or "").strip() or "git failed"
        note = reported.splitlines()[0].removeprefix("fatal: ").partition(" (")[0]
        return {"commit": None, "dirty": None, "note": note}
    except OSError as error:
        return {"commit": None, "dirty": None, "note": str(error)}
    return {"commit": commit, "dirty": dirty}


def hardware() -> Hardware:
    """Return what this process runs on; GPUs where torch is loaded and sees them."""
    return {
        "processor": processor_name(),
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
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def processor_name() -> str:
    """Return the CPU's name as the system gives it."""
    return cpu_information("model name") or platform.processor() or platform.machine()


def cpu_information(key: str) -> str:
    """Return the first value of a key in /proc/cpuinfo, "" where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    parts = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in parts if name.strip() == key), "")


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
