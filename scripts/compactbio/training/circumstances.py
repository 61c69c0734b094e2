"""What a try of a training finds around it: memory, host, code, and what ended the try before it.

Facts are what decides whether a cause that ended tries still holds. No torch is imported: a stalled run ends quickly.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import TypedDict

from compactbio.errors import UserError
from compactbio.locks import host_name
from compactbio.slurm import output_of

CODE = Path(__file__).parents[1]
CGROUPS = Path("/sys/fs/cgroup")
NO_MEMORY, SCHEDULER = "no memory", "scheduler"
BY_SCHEDULER = ("CANCELLED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED", "REQUEUED")
QUICKLY = 20.0  # seconds for an answer that is good to have


class Facts(TypedDict, total=False):
    """Facts that a cause depends on; what is not known is left out."""

    host: str
    memory_mb: int
    """What this job may use of the host's memory: the smallest of its control group's, SLURM's and the host's own."""
    gpu_memory_mb: int
    """Of the smallest GPU here; 0 without any."""
    minutes: float
    """`--max-minutes`; 0 without a limit."""
    micro_batch_tokens: int
    processes: int
    code: str
    """sha256 of the project's Python files."""


class Origin(TypedDict, total=False):
    """Where a try ran, from which the next one may find out what ended it."""

    job: str | None
    restarts: str
    """How often SLURM had started the job again."""
    host: str
    boot: str
    """The kernel's number of the host's start."""
    group: str
    """The control group whose kills are counted."""
    memory_kills: int
    """How many processes of the group the kernel has killed for want of memory."""


def present_facts(minutes: float | None, micro_batch_tokens: int | None) -> Facts:
    """Return the facts of this process."""
    facts: Facts = {
        "host": host_name(),
        "gpu_memory_mb": _gpu_memory_mb(),
        "minutes": minutes or 0.0,
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "code": _code_digest(),
    }
    if micro_batch_tokens is not None:
        facts["micro_batch_tokens"] = micro_batch_tokens
    if memory := _memory_mb():
        facts["memory_mb"] = memory
    return facts


def present_origin() -> Origin:
    """Return where this process runs."""
    origin: Origin = {
        "job": os.environ.get("SLURM_JOB_ID"),
        "restarts": os.environ.get("SLURM_RESTART_COUNT", "0"),
        "host": host_name(),
        "boot": _text(Path("/proc/sys/kernel/random/boot_id")).strip(),
    }
    group = _memory_group()
    kills = _memory_kills(group)
    if kills is not None:
        origin["group"], origin["memory_kills"] = str(group), kills
    return origin


def what_killed(origin: Origin) -> tuple[str, str]:
    """Return what killed a try that noted no end, and in words what says so.

    Returns:
        NO_MEMORY: the kernel or SLURM says that memory was short. SCHEDULER: SLURM put the job back, or somebody
        cancelled it, or its node died. Empty: nothing is known.
    """
    now = present_origin()
    same = all(origin.get(name) == now.get(name) for name in ("host", "boot", "group"))
    if same and now.get("memory_kills", 0) > origin.get("memory_kills", 0):
        return NO_MEMORY, f"the kernel of {now['host']} counts a process killed for want of memory since that try began"
    job = origin.get("job")
    if job is None:
        return "", ""
    states = _states_of(job)
    words = f"SLURM says {' and '.join(sorted(states))} of job {job}"
    if any(state.startswith("OUT_OF_ME") for state in states):
        return NO_MEMORY, words
    if job == now.get("job") and origin.get("restarts") != now.get("restarts"):
        return SCHEDULER, f"SLURM put job {job} back into the queue"
    return (SCHEDULER, words) if any(state.startswith(BY_SCHEDULER) for state in states) else ("", "")


def _states_of(job: str) -> set[str]:
    """Return the states that SLURM remembers of a job's newest start; none where it does not know the job."""
    states = set()
    with contextlib.suppress(UserError):
        command = ("sacct", "--noheader", "--allocations", "--duplicates", "--jobs", job, "--format", "State")
        states.update(output_of(*command, seconds=QUICKLY).split()[-1:])
    with contextlib.suppress(UserError):
        found = re.search(r"\bJobState=(\w+)", output_of("scontrol", "show", "job", job, "--oneliner", seconds=QUICKLY))
        states.update([] if found is None else [found[1]])
    return states


def _memory_group() -> Path:
    """Return the folder of this process's control group for memory; of version 2 or 1; its root where hidden."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        root = CGROUPS if not controllers else CGROUPS / "memory"
        if controllers in ("", "memory") and _has_memory(root / path.lstrip("/")):
            return root / path.lstrip("/")
        if controllers == "memory" or (not controllers and _has_memory(root)):
            return root  # in a container the path is that of the host
    return CGROUPS


def _has_memory(group: Path) -> bool:
    return any((group / name).is_file() for name in ("memory.events", "memory.oom_control"))


def _memory_kills(group: Path) -> int | None:
    """Return how often the kernel has killed in a group for want of memory, None where it does not count."""
    text = _text(group / "memory.events") or _text(group / "memory.oom_control")
    found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return None if found is None else int(found[1])


def _memory_mb() -> int:
    """Return the megabytes of memory that this process may use, 0 where nothing says."""
    limits = []
    folder = _memory_group()
    for group in (folder, *folder.parents):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _text(group / name).strip()
            if text.isdigit():
                limits.append(int(text) // 2**20)
    asked = os.environ.get("SLURM_MEM_PER_NODE", "")
    if asked.isdigit() and int(asked):  # 0: all of the node's
        limits.append(int(asked))
    limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20)
    return min(limits)


@functools.cache
def _gpu_memory_mb() -> int:
    """Return the memory of the smallest NVIDIA GPU that this process sees, 0 without any."""
    if shutil.which("nvidia-smi") is None:
        return 0
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen:
        command.append(f"--id={chosen}")
    try:
        return min((int(line) for line in output_of(*command, seconds=QUICKLY).splitlines()), default=0)
    except (UserError, ValueError):
        return 0


@functools.cache
def _code_digest() -> str:
    """Return the sha256 of all Python files of the package, by their names."""
    whole = hashlib.sha256()
    for path in sorted(CODE.rglob("*.py")):
        whole.update(f"{path.relative_to(CODE)}\n".encode() + path.read_bytes())
    return whole.hexdigest()


def _text(path: Path) -> str:
    """Return a file's text, empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
