"""Addresses, and HTTP: a response of a server, and its body as it was sent, with limits on silence and slowness."""

from __future__ import annotations

import http.client
import logging
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

from compactbio.downloads.retries import (
    PATIENCE,
    MissingError,
    Patience,
    TransferError,
    TransientError,
    asked_wait,
    with_retries,
)

if TYPE_CHECKING:
    import requests

CHUNK_BYTES = 2**18
LONGEST_TEXT_BYTES = 2**25  # of a listing
LOG_EVERY_SECONDS = 30.0
_HEADERS = {"User-Agent": "compactbio", "Accept-Encoding": "identity"}
_PASSING_STATUS = frozenset({408, 425, 429})  # and all from 500 on

log = logging.getLogger(__name__)


def local_path(url: str) -> Path | None:
    """Return the path of a file:// URL, None for another scheme; file://a/b is the relative path a/b."""
    if not url.lower().startswith("file://"):
        return None
    place = url[len("file://") :]
    return Path(unquote(place.removeprefix("localhost") if place.startswith("localhost/") else place) or ".")


def file_name_of(url: str, otherwise: str) -> str:
    """Return the last part of a URL's path as a plain file name."""
    name = unquote(urlsplit(url).path).rsplit("/", 1)[-1]
    return name if name and name not in (".", "..") and "\0" not in name else otherwise


def read_text(url: str, patience: Patience = PATIENCE) -> str:
    """Return the text of a small file, such as a listing; a byte-order mark is dropped.

    Raises:
        MissingError: there is no such file.
        TransferError: it could not be read.
    """

    def attempt() -> str:
        with response_of(url, {}, patience) as response:
            content = b"".join(body_of(response, url, patience, largest=LONGEST_TEXT_BYTES, decode=True))
        return content.decode("utf-8-sig", errors="replace")

    return with_retries(attempt, url, patience)


@contextmanager
def response_of(url: str, headers: dict[str, str], patience: Patience) -> Iterator[requests.Response]:
    """Yield a response of status 200, 206 or 416; other ones become missing, transient and final errors."""
    import requests

    timeout = (patience.silence_seconds, patience.silence_seconds)
    with _session() as session:
        try:
            response = session.get(url, headers=_HEADERS | headers, timeout=timeout, stream=True)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise TransientError(f"the server cannot be reached ({_reason(error)})") from None
        except (requests.RequestException, http.client.HTTPException, ValueError) as error:
            raise TransferError(f"{url}: {_reason(error)}") from None
        except OSError as error:
            raise TransientError(_reason(error)) from None
        with response:
            status = response.status_code
            if status in (404, 410):
                raise MissingError(f"{url} does not exist ({status})")
            if status in _PASSING_STATUS or status >= 500:
                raise TransientError(f"HTTP {status}", asked_wait(response.headers.get("Retry-After", "")))
            if status not in (200, 206, 416):
                raise TransferError(f"{url}: the server refuses with HTTP {status} {response.reason}")
            yield response


def body_of(
    response: requests.Response,
    url: str,
    patience: Patience,
    *,
    start: int = 0,
    total: int | None = None,
    largest: int | None = None,
    decode: bool = False,
) -> Iterator[bytes]:
    """Yield the bytes of a response as they were sent, as they come; what breaks or stays too slow is transient."""
    import urllib3

    rate = Rate(url, patience, start, total)
    while True:
        try:
            # read1 returns what is there: read would wait for a whole chunk, however slowly it comes
            chunk = response.raw.read1(CHUNK_BYTES, decode_content=decode)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            raise TransientError(f"the connection broke after {rate.received:,} bytes ({_reason(error)})") from None
        if not chunk:
            break
        rate.add(len(chunk))
        if largest is not None and rate.received > largest:
            raise TransferError(f"{url} is longer than {largest:,} bytes, so it is not what was asked for")
        if total is not None and rate.received > total:
            raise TransientError(f"more than the {total:,} bytes came that the server stated")
        yield chunk
    if total is not None and rate.received < total:
        raise TransientError(f"cut short after {rate.received:,} of {total:,} bytes")


@dataclass
class Rate:
    """How fast a body comes: too slow is an error, and now and then it is logged."""

    url: str
    patience: Patience
    received: int = 0
    total: int | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        self.window_start = self.logged = time.monotonic()
        self.window_bytes = self.logged_bytes = 0

    def add(self, count: int) -> None:
        """Count bytes that have come."""
        now = time.monotonic()
        self.received += count
        self.window_bytes += count
        self.logged_bytes += count
        if now - self.window_start >= self.patience.window_seconds:
            if self.window_bytes < self.patience.window_bytes:
                raise TransientError(f"only {self.window_bytes:,} bytes came in {now - self.window_start:.0f} s")
            self.window_start, self.window_bytes = now, 0
        if not self.quiet and now - self.logged >= LOG_EVERY_SECONDS:
            rate = self.logged_bytes / (now - self.logged)
            log.info("%s: %s", self.url, self._words(rate))
            self.logged, self.logged_bytes = now, 0

    def _words(self, rate: float) -> str:
        """Return bytes, rate and, where the length is known, what is left, in words."""
        if self.total is None:
            return f"{self.received:,} bytes, {rate / 1e6:.2f} MB/s"
        left = (self.total - self.received) / max(rate, 1.0)
        share = 100 * self.received / max(self.total, 1)
        return f"{self.received:,} of {self.total:,} bytes ({share:.0f} %), {rate / 1e6:.2f} MB/s, {left:.0f} s left"


def _session() -> requests.Session:
    """Return a session that follows redirects to http and https only, and from https to https only."""
    import requests
    from requests.adapters import HTTPAdapter

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> str | None:
            target = super().get_redirect_target(resp)
            if target is not None:
                came, goes = urlsplit(resp.url).scheme.lower(), urlsplit(urljoin(resp.url, target)).scheme.lower()
                if goes not in ("http", "https") or (came == "https" and goes == "http"):
                    raise requests.exceptions.InvalidSchema(
                        f"the server redirects to {target}; only http and https are followed, and no way leads from "
                        "https to http: correct the address"
                    )
            return target

        def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
            """Add no passwords out of a .netrc after a redirect."""

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            # certificates of the system as well, where institutions put their own; requests reads certifi's only
            super().init_poolmanager(*arguments, **options, ssl_context=_certificates())

    session = Session()
    session.mount("https://", Adapter())
    session.auth = lambda request: request  # nor before one
    return session


@cache
def _certificates() -> ssl.SSLContext:
    """Return the system's certificates (reading them takes a while)."""
    return ssl.create_default_context()


def _reason(error: BaseException) -> str:
    """Return what lies at the root of an HTTP library's error."""
    inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    if isinstance(inner, BaseException) and inner is not error:
        return _reason(inner)
    text = re.sub(r"^<[^>]*>:? ?|^\w*\([^)]*\): ?", "", str(error))
    return text or type(error).__name__
