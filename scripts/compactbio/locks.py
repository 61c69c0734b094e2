"""What one process may do at a time: a lock on a file that says who holds it. filelock knows the system's locks."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

POLL_SECONDS = 0.2
LOG_EVERY_SECONDS = 600.0

log = logging.getLogger(__name__)
_mine = threading.local()  # `paths`: what this thread of a process has locked


class Lock:
    """A lock that this process holds until it is released or the process ends, in whatever way."""

    def __init__(self, place: Path, descriptor: int) -> None:
        self.place = place
        self._file = os.fdopen(descriptor, "rb", buffering=0)  # closed, too, where nobody keeps it

    def release(self, *, remove: bool = False) -> None:
        """Let go of the lock; `remove` its file too, which who waits for it notices."""
        from filelock import unlock_descriptor

        if self._file.closed:
            return
        if remove:
            with suppress(OSError):
                self.place.unlink()
        with suppress(OSError):
            unlock_descriptor(self._file.fileno())  # closing would leave it to a copy of this process
        self._file.close()


def try_lock(place: Path) -> Lock | None:
    """Return the lock on a file, which is made, or None where another process (or thread) holds it.

    Where the file system has no locks, a warning says so once for a folder, and everyone gets the lock.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except PermissionError:
            if not place.exists():
                raise
            descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)  # another user's: it is locked, not written
        if not _is_free(descriptor, place):
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), place.stat()):
                break
        os.close(descriptor)  # its holder removed it between our two calls: it keeps nobody out
    with suppress(OSError):  # a name for those who wait, no more
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{_who_and_when()}\n".encode(), 0)
    return Lock(place, descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of an output while the block runs: one process at a time writes it, others wait and say so.

    A block in it may ask for the same lock again.
    """
    held: set[tuple[int, Path]] = _mine.__dict__.setdefault("paths", set())
    key = (os.getpid(), path.absolute())
    if key in held:
        yield
        return
    place, logged = lock_of(path), 0.0
    while (lock := try_lock(place)) is None:
        if time.monotonic() - logged > LOG_EVERY_SECONDS or not logged:
            logged = time.monotonic()
            log.warning("another process writes %s, %s: waiting for its end", path, holder_of(place))
        time.sleep(POLL_SECONDS)
    held.add(key)
    try:
        yield
    finally:
        held.remove(key)
        lock.release(remove=True)


def lock_of(path: Path) -> Path:
    """Return the file whose lock is an output's; two whose long names begin alike share one."""
    return path.with_name(f".{shortened(path.name, 240)}.lock")


def shortened(name: str, size: int) -> str:
    """Return a file's name cut to so many bytes: with what is added to it, the system takes 255."""
    return name.encode()[:size].decode(errors="ignore")


def is_held(place: Path) -> bool:
    """Return whether a process holds the lock on a file, which may be missing."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _is_free(descriptor, place)
    finally:
        os.close(descriptor)


def holder_of(place: Path) -> str:
    """Return who wrote a name into a lock's file, for messages."""
    with suppress(OSError, ValueError):
        if name := place.read_text(encoding="utf-8").strip():
            return name
    return "which left no name"


def host_name() -> str:
    """Return the name of this host, as SLURM has it in a job."""
    return os.environ.get("SLURMD_NODENAME", os.uname().nodename)


def _is_free(descriptor: int, place: Path) -> bool:
    """Lock an open file, unless it is locked; on a file system without locks, pass for having done so."""
    from filelock import lock_descriptor

    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        _warn_of_no_locks(place.parent, error.strerror)
        return True


@cache
def _warn_of_no_locks(folder: Path, reason: str) -> None:
    """Say once that a folder's file system has no locks."""
    log.warning(
        "%s is on a file system without locks (%s). Work goes on; two processes that write the same there at a time "
        "are not kept apart: do not start any twice",
        folder,
        reason,
    )


def _who_and_when() -> str:
    """Return the host, the scheduler's job where there is one, the process, and the time."""
    job = os.environ.get("SLURM_JOB_ID")
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    return f"on {host_name()}, {f'job {job}, ' if job else ''}process {os.getpid()}, since {now}"
