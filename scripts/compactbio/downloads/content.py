"""Whether a file is what its name says: opened and read to its end before it gets that name."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from isal import igzip, igzip_lib

from compactbio.downloads.extraction import ARCHIVE_NAME, DamagedError, check_archive
from compactbio.errors import UserError

# What reading unsound gzip raises, from the standard library and from isal (whose stubs call its error a value).
GZIP_ERRORS: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error, igzip_lib.IsalError)  # type: ignore[assignment]
LONGEST_GZIP_BYTES = 2**32  # unpacked; a baseline file has 2**28
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<[?!A-Za-z]")
_CHUNK_BYTES = 2**18
_GZIP = b"\x1f\x8b"  # what every gzip file begins with


def content_fault(path: Path, name: str) -> str:
    """Return in words why a file cannot be the one of this name; "" if it is sound as far as its kind shows.

    gzip is read to its end and checksum, archives member by member, JSON must end as it begins, XML must begin as
    such; nothing is empty, and nothing but .html may be an HTML page, which servers send where a file is not.
    """
    lower = name.lower()
    with path.open("rb") as stream:
        head = stream.read(4096)
        stream.seek(max(0, path.stat().st_size - 64))
        last = stream.read()
    if not head:
        return "it is empty"
    if _HTML.match(head) and not lower.endswith((".html", ".htm")):
        return f"it is an HTML page, not {name}"
    if ARCHIVE_NAME.search(lower):
        return _archive_fault(path, name)
    if lower.endswith(".gz"):
        return _gzip_fault(path, lower.removesuffix(".gz"))
    return _text_fault(head, last, lower)


def encoding_advice(content: bytes) -> str:
    """Return what to do about text that is not UTF-8: by its first bytes UTF-16, else some older encoding."""
    head = content[:4096]
    is_utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff")) or head.count(0) > len(head) // 4
    return f"Convert the file, for example with iconv -f {'utf-16' if is_utf16 else 'latin1'} -t utf-8"


def archive_fault(path: Path, name: str) -> str:
    """Return in words why a file cannot be an archive, whatever its name ends in; "" if it is one and sound."""
    return content_fault(path, name) or ("" if ARCHIVE_NAME.search(name) else _archive_fault(path, name))


def _archive_fault(path: Path, name: str) -> str:
    """Return what is wrong with an archive."""
    try:
        check_archive(path, name)
    except DamagedError as error:
        return error.fault
    except UserError as error:
        return str(error)
    return ""


def _gzip_fault(path: Path, inner: str) -> str:
    """Return what is wrong with a compressed file whose content is named `inner`."""
    head, last, length = b"", b"", 0
    try:
        with igzip.open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                head = head or chunk[:4096]
                last = (last + chunk)[-64:]
                length += len(chunk)
                if length > LONGEST_GZIP_BYTES:
                    return f"it unpacks to more than {LONGEST_GZIP_BYTES:,} bytes"
    except GZIP_ERRORS as error:
        return gzip_fault(path, error)
    if not head:
        return "what it holds is empty"
    if head.startswith(_GZIP) and not inner.endswith(".gz"):
        return "it was compressed twice on the way"
    return f"it holds an HTML page, not {inner}" if _HTML.match(head) else _text_fault(head, last, inner)


def gzip_fault(path: Path, error: Exception) -> str:
    """Return in words what is wrong with a compressed file; the decoder takes a short text for a stream's start."""
    with path.open("rb") as file:
        if file.read(len(_GZIP)) != _GZIP:
            return "it is not gzip"
    if isinstance(error, EOFError):
        return "the gzip stream ends too early, the file is truncated"
    return f"it is not sound gzip ({error})"


def _text_fault(head: bytes, last: bytes, name: str) -> str:
    """Return what a file's first and last bytes say against its being XML or JSON, if its name says so."""
    if name.endswith(".xml") and not _XML.match(head):
        return f"it does not begin like XML but with {head[:16]!r}"
    if name.endswith(".xml") and not last.rstrip().endswith(b">"):
        return f"it ends with {last[-16:]!r}, which XML does not"
    if name.endswith(".json"):
        first, end = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1], last.rstrip()[-1:]
        if (first, end) not in ((b"{", b"}"), (b"[", b"]")):
            return f"it begins with {first!r} and ends with {end!r}, which JSON does not"
    return ""
