"""Temporary names beside outputs: each says whose it is, so that what a killed process left is known and removed.

`.<output>.<host>.<process>.<its start>.<random>.temporary`: on its own host the process is asked for; what comes from
another host is left alone for as long as somebody may still write it.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from compactbio.locks import is_held, lock_of, shortened, try_lock

SUFFIX = ".temporary"
FRESH_SECONDS = 3600.0  # of another host's: it may be written for so long after its last change
_NAME = re.compile(r"\.(?P<output>.+)\.(?P<host>[\w-]+)\.(?P<process>\d+)\.(?P<start>\d+)\.\w{8}\.temporary")
# one name an output, under its lock: locks themselves, what came of a download (the next try goes on with it) or was
# set aside; of the hub's library, without a lock of ours
_OTHERS = re.compile(r"\.(?P<output>.+)\.(lock|partial|partial\.json|rejected)|.+\.incomplete")
_UNKNOWN = "0"
_FIRST_NAMESPACE = 0xEFFFFFFC  # Linux's number for the host's own processes; containers have others

log = logging.getLogger(__name__)


class Left(NamedTuple):
    """A temporary file or folder that nobody writes any more, or the file of a lock that nobody holds."""

    path: Path
    bytes: int
    changed_at: float

    def remove(self) -> None:
        """Remove it; what cannot be removed stays for the next try."""
        if self.path.is_dir():
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            with suppress(OSError):
                self.path.unlink()


def new_folder(path: Path) -> Path:
    """Make and return a temporary folder beside `path`, after removing what dead processes left there."""
    _remove_left_beside(path)
    return Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=SUFFIX, dir=path.parent))


def new_file(path: Path) -> Path:
    """Make and return a temporary file beside `path`, after removing what dead processes left there."""
    _remove_left_beside(path)
    handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=SUFFIX, dir=path.parent)
    os.close(handle)
    return Path(name)


def is_temporary(path: Path) -> bool:
    """Return whether a path is, or lies in, something that has a temporary name."""
    return any(_NAME.fullmatch(part) for part in path.parts)


def tidy(path: Path) -> None:
    """Remove what dead processes left beside an output that is whole, its lock's file too."""
    _remove_left_beside(path)
    place = lock_of(path)
    with suppress(OSError):
        if place.exists() and (lock := try_lock(place)):
            lock.release(remove=True)


def left_below(folder: Path) -> list[Left]:
    """Return what dead processes left in a folder and below, locks' files included, sorted by path."""
    found: list[Left] = []
    for place, folders, files in os.walk(folder):
        found += _left_among(Path(place, name) for name in (*folders, *files))
        found += _left_under_locks(Path(place), files)
        folders[:] = [name for name in folders if not _NAME.fullmatch(name)]
    return sorted(found, key=lambda left: left.path)


def size_and_time(path: Path) -> tuple[int, float]:
    """Return the bytes of a file or folder and when it last changed; files may go while they are counted."""
    size, latest = 0, 0.0
    for one in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            facts = one.lstat()
            size += 0 if one.is_dir() else facts.st_size
            latest = max(latest, facts.st_mtime)
    return size, latest


def _left_among(paths: Iterable[Path]) -> Iterator[Left]:
    """Yield those of some paths that are temporary and whose writer is dead or, on another host, silent."""
    for path in paths:
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        is_here = match["host"] == _host()
        if is_here and _is_alive(int(match["process"]), match["start"]):
            continue
        size, changed_at = size_and_time(path)
        if is_here or time.time() - changed_at > FRESH_SECONDS:
            yield Left(path, size, changed_at)


def _left_under_locks(folder: Path, files: Iterable[str]) -> Iterator[Left]:
    """Yield those files of a folder that belong to a lock which nobody holds, and are not fresh."""
    for name in files:
        if match := _OTHERS.fullmatch(name):
            size, changed_at = size_and_time(folder / name)
            is_old = time.time() - changed_at > FRESH_SECONDS
            if is_old and not is_held(lock_of(folder / (match["output"] or name))):
                yield Left(folder / name, size, changed_at)


def _remove_left_beside(path: Path) -> None:
    """Remove what dead processes left in an output's folder, unless that is a temporary one of this process."""
    if not is_temporary(path):
        for left in _left_among(_entries(path.parent)):
            log.info("removing %s, which a process left that was killed", left.path)
            left.remove()


def _entries(folder: Path) -> list[Path]:
    """Return what lies in a folder, nothing where it cannot be listed."""
    with suppress(OSError):
        return list(folder.iterdir())
    return []


def _prefix(path: Path) -> str:
    """Return how the temporary names of an output begin."""
    return f".{shortened(path.name, 120)}.{_host()}.{os.getpid()}.{_state_and_start(os.getpid())[1]}."


@cache
def _host() -> str:
    """Return what stands for the place where a process's number means something: host and, in a container, that."""
    name = re.sub(r"[^\w-]", "-", os.uname().nodename.partition(".")[0])[:32] or "unnamed"
    with suppress(OSError):
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        return name if namespace == _FIRST_NAMESPACE else f"{name}-{namespace}"
    return name


def _is_alive(process: int, start: str) -> bool:
    """Return whether a process of this host runs; another one may have its number by now."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        pass
    state, now = _state_and_start(process)
    return state not in ("Z", "X") and now in (start, _UNKNOWN)


def _state_and_start(process: int) -> tuple[str, str]:
    """Return a process's state and its start in ticks since the system's, exactly, which no library has."""
    with suppress(OSError, IndexError):
        text = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
        facts = text.rpartition(")")[2].split()
        return facts[0], facts[19]
    return "", _UNKNOWN


def umask() -> int:
    """Return the process's umask (reading it needs setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
