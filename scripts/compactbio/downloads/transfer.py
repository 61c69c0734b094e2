"""One file over HTTP: retried with back-off, resumed where it stopped, named only when complete and verified."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import logging
import os
import random
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

TIMEOUT_SECONDS = 60.0
CHUNK_BYTES = 2**18
LONGEST_WAIT_SECONDS = 120.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")

log = logging.getLogger(__name__)
Value = TypeVar("Value")


class MissingError(Exception):
    """The server says that there is no such file (404 or 410): trying again is of no use."""


class TransferError(Exception):
    """A file could not be had: all tries failed, or the server refuses, or its digest is wrong."""


class _TransientError(Exception):
    """Something that may pass; `wait_seconds` is what the server asked for."""

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class Retries:
    """How often a transfer is tried, and how long it waits: first_wait_seconds, doubled after each try."""

    tries: int = 6
    first_wait_seconds: float = 2.0


DEFAULT_RETRIES = Retries()


def read_url(url: str, retries: Retries = DEFAULT_RETRIES) -> bytes:
    """Return the content of a small file.

    Raises:
        MissingError: there is no such file.
        TransferError: it could not be had.
    """

    def attempt() -> bytes:
        with _open(url, {}) as response:
            return _translate(lambda: response.read(), url)

    return _with_retries(attempt, url, retries)


def fetch_file(url: str, target: Path, md5: str, retries: Retries = DEFAULT_RETRIES) -> None:
    """Leave the file of a URL at `target`, verified; a partial one is kept beside it to be resumed.

    A partial file whose end does not fit (wrong md5) is fetched once more from its start before giving up.

    Raises:
        MissingError: there is no such file.
        TransferError: all tries failed, or what the server sends does not have this md5.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    with partial.open("ab") as stream:
        _lock(stream)
        if target.is_file() and md5_of_file(target) == md5:  # another process had the lock and fetched it
            return
        for last_chance in (False, True):
            _with_retries(lambda: _append(url, stream), url, retries)
            got = md5_of_file(partial)
            if got == md5:
                partial.replace(target)
                return
            stream.truncate(0)
            if not last_chance:
                log.warning("%s arrived with a wrong md5: fetching it again from its start", url)
    raise TransferError(
        f"{url} has the md5 {got} where its .md5 file says {md5}: it is damaged on the server or on the way, "
        "or is being replaced there; try again later or from a mirror"
    )


def md5_of_file(path: Path) -> str:
    """Return the hexadecimal md5 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _lock(stream: BinaryIO) -> None:
    """Wait until no other process writes into the file; where locks are not supported, go on without."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX)
    except OSError as error:
        log.warning("no lock on %s (%s): do not fetch into one folder twice at a time", stream.name, error)


def _append(url: str, stream: BinaryIO) -> None:
    """Fetch what a partial file, open for appending, lacks."""
    size = os.fstat(stream.fileno()).st_size
    try:
        response = _open(url, {"Range": f"bytes={size}-"} if size else {})
    except _UnsatisfiableError:
        log.info("%s: the server has nothing after %d bytes; the digest decides", url, size)
        return
    received = 0
    with response:
        if size:
            found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            if response.status == 206 and found and int(found[1]) == size:
                log.info("%s: resumed at byte %s", url, f"{size:,}")
            else:
                log.info("%s: the server does not resume, starting again", url)
                stream.truncate(0)
        expected = response.headers.get("Content-Length")
        try:
            while chunk := _translate(lambda: response.read(CHUNK_BYTES), url):
                stream.write(chunk)
                received += len(chunk)
        finally:
            stream.flush()
    if expected is not None and received != int(expected):
        raise _TransientError(f"the connection ended after {received:,} of {int(expected):,} bytes")


class _UnsatisfiableError(Exception):
    """The server has nothing from the asked byte on (416)."""


def _open(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Return the response to a request, errors sorted into missing, transient and final ones."""
    request = urllib.request.Request(url, headers={"User-Agent": "compactbio", **headers})
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 410):
            raise MissingError(f"{url} does not exist ({error.code})") from None
        if error.code == 416:
            raise _UnsatisfiableError from None
        if error.code in (408, 425, 429) or error.code >= 500:
            wait = error.headers.get("Retry-After", "")
            raise _TransientError(f"HTTP {error.code}", float(wait) if wait.isdecimal() else None) from None
        raise TransferError(f"{url}: the server refuses with HTTP {error.code} {error.reason}") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise _TransientError(str(getattr(error, "reason", error))) from None


def _translate(read: Callable[[], bytes], url: str) -> bytes:
    """Return what a read gives; a broken connection becomes transient."""
    try:
        return read()
    except (http.client.HTTPException, OSError) as error:
        raise _TransientError(f"the connection to {url} broke ({error})") from None


def _with_retries(attempt: Callable[[], Value], url: str, retries: Retries) -> Value:
    """Return what an attempt returns, tried again after transient errors with growing, jittered waits."""
    for number in range(1, retries.tries + 1):
        try:
            return attempt()
        except _TransientError as error:
            if number == retries.tries:
                raise TransferError(f"{url}: given up after {number} tries, the last said: {error}") from None
            wait = retries.first_wait_seconds * 2 ** (number - 1) * random.uniform(0.75, 1.25)
            wait = min(max(wait, error.wait_seconds or 0.0), LONGEST_WAIT_SECONDS)
            log.warning("%s: %s; try %d of %d in %.1f s", url, error, number + 1, retries.tries, wait)
            time.sleep(wait)
    raise AssertionError("unreachable: the last try returns or raises")
