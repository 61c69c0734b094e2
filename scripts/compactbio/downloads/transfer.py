"""One file over HTTP: resumed where it stopped, tried again, named only when it is complete and verified."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from compactbio.downloads.checksums import Digest, digest_of_file
from compactbio.downloads.content import content_fault
from compactbio.downloads.retries import PATIENCE, MissingError, Patience, TransferError, TransientError, with_retries
from compactbio.downloads.web import body_of, response_of
from compactbio.file_errors import writing
from compactbio.locks import lock_of, locked, try_lock

if TYPE_CHECKING:
    import requests

LONGEST_FILE_BYTES = 2**37  # of what is fetched over HTTP; it stops a body without end
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")

log = logging.getLogger(__name__)


def fetch_file(
    urls: Sequence[str],
    target: Path,
    *,
    expected: Digest | None = None,
    fault_of: Callable[[Path, str], str] = content_fault,
    patience: Patience = PATIENCE,
) -> str:
    """Bring the first URL that has the file to `target`, unless it is there and sound; return the URL.

    A cut transfer leaves a hidden partial file beside the target, which the next try goes on with if the server's
    file is still the same. What comes is opened as what the target's name says and compared with `expected`; what
    fails is kept as .<name>.rejected and fetched again. A lock lets one process at a time do so.

    Args:
        urls: http(s) addresses of the same file, in order of preference.
        expected: the digest that it should have, if one is known.
        fault_of: returns in words why a file cannot be the one of a name, "" if it can.
        patience: tries and waits at each address.

    Raises:
        MissingError: no address has such a file.
        TransferError: no address gave the file.
    """

    def is_there() -> bool:
        if not target.is_file():
            return False
        fault = expected.mismatch(target) if expected else fault_of(target, target.name)
        if fault:
            log.warning("%s is in the cache, but %s: fetching it again", target, fault)
        return not fault

    if is_there():  # without the lock, so that a cache which others own can be read
        log.info("%s is there already", target)
        _Partial(target).tidy()
        return urls[0]
    with writing(target), locked(target):
        if is_there():
            return urls[0]
        failures: list[TransferError] = []
        for url in urls:
            try:
                _fetch_from(url, _Partial(target), expected, fault_of, patience)
            except TransferError as error:
                failures.append(error)
                if len(urls) > 1:
                    log.warning("%s", error)
            else:
                return url
    kind = MissingError if all(isinstance(error, MissingError) for error in failures) else TransferError
    raise kind("; ".join(map(str, failures)))


class _Partial:
    """The part of a file that has come, and what its server said that tells this version of it from others."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.partial")
        self.note = target.with_name(f".{target.name}.partial.json")
        self.rejected = target.with_name(f".{target.name}.rejected")

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def validator(self, url: str) -> str:
        """Return the ETag or date of what was begun from this URL; "" if none is known."""
        try:
            noted = json.loads(self.note.read_text(encoding="utf-8"))
            return str(noted["validator"]) if noted["url"] == url else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def begin(self, url: str, validator: str) -> None:
        """Forget what has come and note what is coming."""
        self.drop()
        self.note.write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")

    def finish(self) -> None:
        """Give the file its name."""
        self.path.replace(self.target)
        self.note.unlink(missing_ok=True)
        self.rejected.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what a process left that was killed just after it had given the file its name."""
        place = lock_of(self.target)
        with suppress(OSError):  # another's cache may be read-only
            if any(path.exists() for path in (self.path, self.note, place)) and (lock := try_lock(place)):
                self.drop()
                lock.release(remove=True)

    def reject(self) -> None:
        """Set what has come aside, for a look at it."""
        self.path.replace(self.rejected)
        self.note.unlink(missing_ok=True)

    def drop(self) -> None:
        """Remove what has come."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def _fetch_from(
    url: str,
    partial: _Partial,
    expected: Digest | None,
    fault_of: Callable[[Path, str], str],
    patience: Patience,
) -> None:
    """Bring the file of one URL to its place."""
    came = 0  # bytes of a body of unknown length so far
    rejected: set[str] = set()  # digests of bodies that were not the file

    def attempt() -> None:
        nonlocal came
        ended = _receive(url, partial, expected, patience)
        fault = fault_of(partial.path, partial.target.name) or (expected.mismatch(partial.path) if expected else "")
        if not fault:
            if not ended and not expected:
                log.warning("%s: neither a length nor a digest says whether it is whole; it opens as such", url)
            partial.finish()
            return
        if not ended and partial.validator(url) and partial.size > came:
            came = partial.size
            raise TransientError(f"{fault}; the server stated no length, so what may be missing is asked for")
        came = 0
        digest = digest_of_file(partial.path, "sha256")
        partial.reject()
        if digest in rejected:
            raise TransferError(
                f"{url} is not the file wanted: {fault}. It is another release, is being replaced, or is damaged on "
                f"the server: try again later or from a mirror (what came, twice, is kept as {partial.rejected})"
            )
        rejected.add(digest)
        raise TransientError(fault)

    with_retries(attempt, url, patience)
    log.info("%s fetched, %s bytes", partial.target.name, f"{partial.target.stat().st_size:,}")


def _receive(url: str, partial: _Partial, expected: Digest | None, patience: Patience) -> bool:
    """Append the rest of a URL's file to the partial one, or bring it whole; return whether its end was marked.

    Where neither an ETag nor a date can tell whether the server's file is still the same, the rest is only asked
    for if a digest decides in the end.
    """
    have, validator = partial.size, partial.validator(url)
    headers = {}
    if have and (validator or expected):
        headers = {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})
    with response_of(url, headers, patience) as response:
        if response.status_code == 416:
            return _has_nothing_more(response, partial, have)
        start, total = _begun_at(response, have if headers else 0, validator, partial)
        _require_no_encoding(response, partial.target.name)
        if start:
            log.info("%s: resumed at byte %s", url, f"{start:,}")
        else:
            if have:
                log.info("%s: started again, the server does not resume or has another file now", url)
            partial.begin(url, _validator_of(response))
        with partial.path.open("ab") as stream:
            try:
                for chunk in body_of(response, url, patience, start=start, total=total, largest=LONGEST_FILE_BYTES):
                    stream.write(chunk)
            finally:
                stream.flush()
                os.fsync(stream.fileno())
        return total is not None or "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def _begun_at(response: requests.Response, asked: int, validator: str, partial: _Partial) -> tuple[int, int | None]:
    """Return at which byte the body of a response begins, and the length of the whole file if it is stated."""
    stated = response.headers.get("Content-Length", "")
    length = int(stated) if stated.isdecimal() and "Transfer-Encoding" not in response.headers else None
    if response.status_code != 206:
        return 0, length
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    now = _validator_of(response)
    if not asked or not found or not found[1] or int(found[1]) != asked or (validator and now and now != validator):
        partial.drop()
        raise TransientError("the server sends another part than the one asked for, or of another file: starting again")
    if found[2] != "*":
        return asked, int(found[2])
    return asked, None if length is None else asked + length


def _has_nothing_more(response: requests.Response, partial: _Partial, have: int) -> bool:
    """Return True where a server that has nothing more (416) has a file of just the length that came."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if found and found[2] == str(have):
        return True
    partial.drop()
    raise TransientError("the server has no such part of the file: starting again")


def _require_no_encoding(response: requests.Response, name: str) -> None:
    """Refuse a body that was encoded for the transfer, though not asked to be.

    Many servers call a stored .gz file a gzip encoding: such a body is the file, and opening it shows whether.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    is_label = encoding in ("gzip", "x-gzip") and name.lower().endswith((".gz", ".tgz"))
    if encoding not in ("", "identity") and not is_label:
        raise TransientError(f"the server encodes the file as {encoding[:20]}, which was not asked for")


def _validator_of(response: requests.Response) -> str:
    """Return what If-Range takes to name this version of a file: a strong ETag, else the date; "" if neither."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
