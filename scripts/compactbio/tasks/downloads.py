"""Downloads that are resumed, retried and complete when they exist."""

from __future__ import annotations

import fcntl
import http.client
import logging
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from compactbio.errors import UserError
from compactbio.files import sha256_of_file

_RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}
_HEADERS = {"User-Agent": "compactbio (benchmark data)", "Accept-Encoding": "identity"}


class _PassingError(Exception):
    """A failure that may pass."""


class _LastingError(Exception):
    """A failure that another try at the same address would repeat."""


def local_path(url: str) -> Path | None:
    """Return the path of a file:// URL, relative ones relative to the working directory; None for others."""
    if not url.startswith("file://"):
        return None
    return Path(unquote(url.removeprefix("file://").removeprefix("localhost/") or "."))


def download(
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str = "",
    tries: int = 4,
    timeout_seconds: float = 60,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Bring the first URL that answers to `target`, unless a file of the right digest is there; return the URL.

    A cut transfer leaves `<target>.partial`, where the next try goes on if the server's file is still the same.
    Waits between tries double from 2 seconds.

    Args:
        urls: http(s) addresses of the same file, in order of preference.
        target: the file to make.
        sha256: its expected digest; "" if none is known.
        tries: at each address.
        timeout_seconds: without any byte.
        sleep: how to wait (for tests).

    Raises:
        UserError: no address gave the file, or what came has another digest.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target):
        if target.is_file() and (not sha256 or sha256_of_file(target) == sha256):
            logging.info("%s is there already", target)
            return urls[0]
        failures = []
        for url in urls:
            try:
                _fetch_with_retries(url, target, sha256, tries, timeout_seconds, sleep)
            except (_PassingError, _LastingError) as failure:
                failures.append(f"{url}: {failure}")
                logging.warning("%s", failures[-1])
            else:
                return url
    raise UserError(f"could not be downloaded: {'; '.join(failures)}")


def _fetch_with_retries(
    url: str, target: Path, sha256: str, tries: int, timeout_seconds: float, sleep: Callable[[float], None]
) -> None:
    """Bring one URL to `target`, trying again after failures that may pass."""
    partial = target.with_name(f"{target.name}.partial")
    for attempt in range(1, tries + 1):
        try:
            _transfer(url, partial, timeout_seconds)
            found = sha256_of_file(partial)
            if sha256 and found != sha256:
                _forget(partial)
                raise _LastingError(
                    f"the file has sha256 {found} where {sha256} is expected: another release, "
                    "or an error page instead of the file"
                )
            partial.replace(target)
            _forget(partial)
            return
        except _PassingError as failure:
            if attempt == tries:
                raise
            wait = 2.0**attempt
            logging.warning("%s: %s; try %d of %d in %g s", url, failure, attempt + 1, tries, wait)
            sleep(wait)


def _transfer(url: str, partial: Path, timeout_seconds: float) -> None:
    """Append the rest of a URL's content to `partial`, or its whole content where it cannot be continued."""
    validator_file = partial.with_name(f"{partial.name}.validator")
    have = partial.stat().st_size if partial.is_file() else 0
    validator = validator_file.read_text(encoding="utf-8") if have and validator_file.is_file() else ""
    headers = dict(_HEADERS)
    if validator:
        # If-Range: the server sends the rest only if its file is still the one that was begun.
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_seconds) as answer:
            goes_on = answer.status == 206 and (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-")
            if goes_on:
                logging.info("%s goes on at byte %d", url, have)
            else:
                _forget(partial)
                strong = answer.headers.get("ETag") or ""
                validator_file.write_text(
                    strong if strong and not strong.startswith("W/") else answer.headers.get("Last-Modified", ""),
                    encoding="utf-8",
                )
            length = answer.headers.get("Content-Length")
            before = have if goes_on else 0
            with partial.open("ab" if goes_on else "wb") as output:
                shutil.copyfileobj(answer, output, 2**20)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            _forget(partial)
            raise _PassingError("the partial file does not fit; from the start") from None
        if error.code in _RETRIED_STATUS:
            raise _PassingError(f"the server says {error.code} {error.reason}") from None
        raise _LastingError(f"the server says {error.code} {error.reason}") from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise _PassingError(f"{type(error).__name__}: {reason}") from None
    if length is not None and partial.stat().st_size - before != int(length):
        raise _PassingError(f"cut short after {partial.stat().st_size} bytes")


def file_name_of(url: str, otherwise: str) -> str:
    """Return the last part of a URL's path as a plain file name."""
    name = unquote(urlsplit(url).path).rsplit("/", 1)[-1]
    return name if name and name not in (".", "..") else otherwise


def _forget(partial: Path) -> None:
    """Remove a partial file and what was noted about it."""
    partial.unlink(missing_ok=True)
    partial.with_name(f"{partial.name}.validator").unlink(missing_ok=True)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold a lock beside `target`: the cache is shared by configurations that may run at once."""
    lock = target.with_name(f"{target.name}.lock")
    with lock.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:  # file systems without locks
            logging.warning("%s cannot be locked (%s); going on without", lock, error)
        yield
