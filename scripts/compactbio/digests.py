"""Digests of files: compared with what a record says, and remembered as long as a file stays as it is.

What was hashed is kept in a file `.digests.json` of the same folder: size, time of change of content and of inode,
inode number, digest. A file of which one of these differs is hashed again, as one is that was changed in the last two
seconds, since clocks may be that coarse. The memory is replaced as a whole, so jobs that write it at once lose an entry
at most. Where the folder cannot be written to, the memory lies in the user's cache ($XDG_CACHE_HOME or ~/.cache), and
where that cannot be either, nothing is remembered.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compactbio.errors import UserError, require_file
from compactbio.temporaries import new_file, umask

MEMORY = ".digests.json"
AGAIN = "run the same snakemake command again"
SETTLED_SECONDS = 2.0  # a file that was changed later may change again without another time of change
PROGRESS_SECONDS = 10.0
LONG_BYTES = 2**30  # hashing less takes a second, of which nothing is logged
SHORT_BYTES = 2**26  # less than that is hashed without starting threads
BLOCK_BYTES = 2**20
MOST_THREADS = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recorded:
    """A file and the digest that a record has of it.

    Attributes:
        record: the file that says so.
        remake: what to do where the file is another one, as "delete x and run y".
        algorithm: sha256, md5, or git (sha1 of a git blob).
        bytes: the size, where the record has it.
    """

    path: Path
    digest: str
    record: Path
    remake: str
    algorithm: str = "sha256"
    bytes: int | None = None


@dataclass(frozen=True)
class Fault:
    """A file that is not what its record says."""

    file: Recorded
    what: str

    def __str__(self) -> str:
        return f"{self.file.path} {self.what}: {self.file.remake}"


@dataclass
class Comparison:
    """What was compared: files, how many bytes of them were hashed (the others were remembered), seconds, faults."""

    files: int
    bytes: int
    seconds: float
    faults: list[Fault]


class _Switch:
    """Whether what is remembered is left aside, set by a program's --verify; what was hashed since."""

    def __init__(self) -> None:
        self.on = False
        self.hashed: dict[Path, list[Any]] = {}


_verify = _Switch()


class _Verify(argparse.Action):
    """The option --verify."""

    def __call__(self, *_: Any) -> None:
        """Leave aside what is remembered, for the rest of the process."""
        leave_memory_aside()


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Add the option --verify, which has every digest computed again."""
    about = "compare the digest of every file that is read, also where it was compared before and has not changed since"
    parser.add_argument("--verify", action=_Verify, nargs=0, help=about)


def leave_memory_aside() -> None:
    """Have every file hashed once more that this process compares from now on."""
    _verify.on, _verify.hashed = True, {}


def sha256_of_file(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    require_file(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def require_same(files: Iterable[Recorded], *, contents: bool = True) -> None:
    """Compare files with their records, or, without `contents`, their sizes alone.

    Raises:
        UserError: one is missing or is not what its record says.
    """
    faults = compare(list(files), contents=contents).faults
    if faults:
        more = f" ({len(faults) - 1} more files are damaged)" if len(faults) > 1 else ""
        raise UserError(f"{faults[0]}{more}")


def compare(files: Sequence[Recorded], *, contents: bool = True) -> Comparison:
    """Return what differs between files and their records; those that have not changed since are not read.

    Without `contents` only sizes are compared. Of several processes of one training the first compares the contents
    for all.
    """
    began = time.monotonic()
    faults: list[Fault] = []
    unknown: list[tuple[Recorded, list[int]]] = []
    memories: dict[Path, dict[str, Any]] = {}
    for file in files:
        try:
            facts = _facts(file.path)
        except OSError as error:
            missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
            what = f"is missing, though {file.record} lists it" if missing else f"cannot be read ({error.strerror})"
            faults.append(Fault(file, what))
            continue
        if file.bytes is not None and facts[0] != file.bytes:
            faults.append(Fault(file, f"has {facts[0]:,} bytes where {file.record} says {file.bytes:,}"))
        elif contents and os.environ.get("RANK", "0") == "0":
            known = _known(file, facts, memories)
            if known is None:
                unknown.append((file, facts))
            elif known != file.digest:
                faults.append(_difference(file, known))
    total = sum(facts[0] for _, facts in unknown)
    learnt: dict[Path, dict[str, Any]] = {}
    for file, facts, found in _hashed(unknown, total):
        if isinstance(found, OSError):
            faults.append(Fault(file, f"cannot be read ({found.strerror or found})"))
            continue
        if found != file.digest:
            faults.append(_difference(file, found))
        with contextlib.suppress(OSError):
            if _facts(file.path) == facts:
                _verify.hashed[file.path] = [*facts, file.algorithm, found]
                if time.time() - max(facts[1:3]) / 1e9 - SETTLED_SECONDS >= 0:
                    learnt.setdefault(file.path.parent, {})[file.path.name] = [*facts, file.algorithm, found]
    for folder, entries in learnt.items():
        _remember(folder, entries)
    return Comparison(len(files), total, time.monotonic() - began, faults)


def _difference(file: Recorded, found: str) -> Fault:
    """Return the fault of a file of another content."""
    return Fault(file, f"differs from its digest in {file.record} ({found[:12]} instead of {file.digest[:12]})")


def _facts(path: Path) -> list[int]:
    """Return size, nanoseconds of the last change of content and of inode, and inode number; whatever a link leads to.

    The device is left out: a file server's has another number on each machine.
    """
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _known(file: Recorded, facts: list[int], memories: dict[Path, dict[str, Any]]) -> str | None:
    """Return a file's digest where it is remembered and the file is the same since."""
    if _verify.on:
        entry = _verify.hashed.get(file.path)
    else:
        folder = file.path.parent
        if folder not in memories:
            memories[folder] = _read(folder / MEMORY) or _read(_elsewhere(folder))
        entry = memories[folder].get(file.path.name)
    if isinstance(entry, list) and entry[:-1] == [*facts, file.algorithm] and isinstance(entry[-1], str):
        return entry[-1]
    return None


def _elsewhere(folder: Path) -> Path:
    """Return the place of a folder's memory in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "compactbio" / "digests" / f"{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]}.json"


def _read(path: Path) -> dict[str, Any]:
    """Return what is remembered in a file, nothing where it is none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError, RuntimeError):  # the last: no home directory
        return {}
    return value if isinstance(value, dict) else {}


def _remember(folder: Path, entries: dict[str, Any]) -> None:
    """Add entries to a folder's memory, beside the files or else in the user's cache, or nowhere."""
    for path in (folder / MEMORY, _elsewhere(folder)):
        with contextlib.suppress(OSError, RuntimeError):
            if path.name != MEMORY:
                path.parent.mkdir(parents=True, exist_ok=True)
            known = {name: entry for name, entry in _read(path).items() if (folder / name).exists()}
            temporary = new_file(path)
            try:
                temporary.write_text(json.dumps(known | entries), encoding="utf-8")
                temporary.chmod(0o666 & ~umask())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            return


def _hashed(
    files: Sequence[tuple[Recorded, list[int]]], total: int
) -> Iterator[tuple[Recorded, list[int], str | OSError]]:
    """Yield files with their digests, or why they cannot be read, as they are done: in threads where it is long."""
    work = _Work()
    if total < SHORT_BYTES or len(files) < 2:
        for file, facts in files:
            yield file, facts, work.digest(file)
        return
    if total >= LONG_BYTES:
        log.info("comparing %d files, %.1f GB, with their recorded digests", len(files), total / 1e9)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(min(MOST_THREADS, cores)) as pool:
        pending: dict[Future[str | OSError], tuple[Recorded, list[int]]] = {
            pool.submit(work.digest, file): (file, facts) for file, facts in files
        }
        began = told = time.monotonic()
        try:
            while pending:
                done, _ = wait(pending, timeout=PROGRESS_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    yield *pending.pop(future), future.result()
                now = time.monotonic()
                if now - told >= PROGRESS_SECONDS:
                    told, rate = now, work.bytes / (now - began)
                    log.info("%.1f of %.1f GB compared, %.2f GB/s", work.bytes / 1e9, total / 1e9, rate / 1e9)
        finally:
            work.stop.set()
            pool.shutdown(cancel_futures=True)


class _Work:
    """Hashing, which says how far it is and can be stopped."""

    def __init__(self) -> None:
        self.bytes = 0
        self.stop = threading.Event()

    def digest(self, file: Recorded) -> str | OSError:
        """Return a file's digest, or what the system says instead of its content."""
        try:
            with file.path.open("rb", buffering=0) as stream:
                hasher = hashlib.new("sha1" if file.algorithm == "git" else file.algorithm, usedforsecurity=False)
                if file.algorithm == "git":
                    hasher.update(b"blob %d\0" % os.fstat(stream.fileno()).st_size)
                block = memoryview(bytearray(BLOCK_BYTES))
                while (count := stream.readinto(block)) and not self.stop.is_set():
                    hasher.update(block[:count])
                    self.bytes += count
                return hasher.hexdigest()
        except OSError as error:
            return error
