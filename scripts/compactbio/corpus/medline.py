"""PubMed XML read one record at a time: whole records found by their bytes, without parsing the file.

A file of the baseline is a root element PubmedArticleSet with up to 30,000 records of about 6 kB, of which a
corpus needs a title and an abstract. Records are cut out by `bytes.find`, so that only those two elements are
looked at (compactbio.corpus.citation_texts). So that broken XML is still refused, each block is checked for what
well-formed XML has: balanced tags with equal names, known entities, legal characters. A block that
fails a check is not an error yet: its records are marked as doubtful, and a real parser decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from isal import igzip

from compactbio.corpus.doubtful_xml import is_doubtful
from compactbio.downloads.content import GZIP_ERRORS, gzip_fault
from compactbio.errors import UserError, require_file

BLOCK_BYTES = 2**18  # what is made of a block fits a core's cache: 2**20 takes half as long again
LARGEST_PROLOGUE = 2**16
LARGEST_FILE = 2**30  # bytes, compressed; the real ones have 2**25
LARGEST_RECORD = 2**24  # the real ones have up to a few megabytes
ARTICLE, BOOK_ARTICLE, DELETION = "article", "book_article", "deletion"

_PROLOGUE = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^<>\[]*>)*", re.DOTALL)
_ROOT = re.compile(rb"<([A-Za-z_][\w.:-]*)((?:\s[^<>]*?)?)(/?)>")
_ENCODING = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([^"']+)["']""")
_NAMESPACES = re.compile(rb"""\sxmlns(?::[\w.-]+)?\s*=\s*(?:"[^"]*"|'[^']*')""")
_SPACE = re.compile(rb"\s*")
_ENDS: dict[bytes, tuple[str | None, bytes]] = {  # how an element below the root starts: its kind, and how it ends
    b"<PubmedArticle>": (ARTICLE, b"</PubmedArticle>"),
    b"<PubmedArticle ": (ARTICLE, b"</PubmedArticle>"),
    b"<PubmedBookArticle>": (BOOK_ARTICLE, b"</PubmedBookArticle>"),
    b"<PubmedBookArticle ": (BOOK_ARTICLE, b"</PubmedBookArticle>"),
    b"<DeleteCitation>": (DELETION, b"</DeleteCitation>"),
    b"<DeleteCitation/>": (DELETION, b""),
    b"<DeleteDocument>": (DELETION, b"</DeleteDocument>"),
    b"<DeleteDocument/>": (DELETION, b""),
    b"<!--": (None, b"-->"),
    b"<?": (None, b"?>"),
}
_HIDING = (b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>")  # what an end tag may stand in without being one
_ROOT_END = re.compile(rb"</PubmedArticleSet\s*>")
_TAIL = re.compile(rb"(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)


class Record(NamedTuple):
    """An element below the root.

    Attributes:
        kind: ARTICLE, BOOK_ARTICLE or DELETION.
        xml: the element's bytes, UTF-8.
        doubtful: a check failed near it, or it has comments or CDATA: only a real parser may read it.
        namespaces: the root's namespace declarations, to be put around the element before it is parsed.
    """

    kind: str
    xml: bytes
    doubtful: bool
    namespaces: bytes


def broken_file(path: Path, what: str) -> UserError:
    """Return the error for a file that is not whole, well-formed PubMed XML."""
    return UserError(
        f"{path} is broken: {what}. Compare it with its .md5; delete it and download it again "
        "(download_baseline), or repair the mirror that it comes from"
    )


def read_records(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[Record]:
    """Yield the records of a gzipped PubMed file in file order; memory stays at a few blocks.

    Raises:
        UserError: the file is missing, truncated, not gzip, broken, or not a PubmedArticleSet.
    """
    require_file(path, LARGEST_FILE)
    try:
        stream = igzip.open(path, "rb")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    with stream:
        blocks = _read_blocks(stream, path, block_bytes)
        buffer, position, namespaces, empty = _read_root(blocks, path)
        if empty:
            _require_nothing_after(buffer[position:], blocks, path)
            return
        while True:
            elements, end, finished = _cut_elements(buffer, position, path)
            doubtful = end > position and is_doubtful(buffer, position, end)
            for kind, first, last in elements:
                yield Record(kind, buffer[first:last], doubtful, namespaces)
            if finished:
                _require_nothing_after(buffer[finished:], blocks, path)
                return
            block = next(blocks, b"")
            if not block:
                raise broken_file(path, _unfinished(buffer[end:]))
            buffer, position = buffer[end:] + block, 0
            if len(buffer) > LARGEST_RECORD + block_bytes:
                raise broken_file(path, f"one element has more than {LARGEST_RECORD:,} bytes")


def _read_blocks(stream: igzip.IGzipFile, path: Path, block_bytes: int) -> Iterator[bytes]:
    """Yield the decompressed file in blocks."""
    try:
        while block := stream.read(block_bytes):
            yield block
    except GZIP_ERRORS as error:
        raise broken_file(path, gzip_fault(path, error)) from None


def _read_root(blocks: Iterator[bytes], path: Path) -> tuple[bytes, int, bytes, bool]:
    """Return (buffer, position after the root's start tag, its namespaces, whether it is an empty element)."""
    buffer = b""
    root = None
    while root is None and len(buffer) < LARGEST_PROLOGUE:
        block = next(blocks, b"")
        if not block:
            break
        buffer += block
        root = _ROOT.match(buffer, _end(_PROLOGUE, buffer))
    if root is None:
        raise broken_file(path, "no root element follows its first lines, so it is not XML")
    encoding = _ENCODING.search(buffer, 0, root.start())
    if encoding and encoding[1].lower() not in (b"utf-8", b"us-ascii"):
        raise UserError(f"{path} is encoded in {encoding[1].decode()}; PubMed's files are UTF-8: convert it")
    name = root[1].decode()
    if name == "MedlineCitationSet":
        raise UserError(
            f"{path} has the root MedlineCitationSet, the form of the baselines until 2016, which is not read "
            "here: take the file from a baseline of 2017 or later (keys corpus.baseline.base_url and .year)"
        )
    if name != "PubmedArticleSet":
        raise UserError(f"{path} has the root {name}, not PubmedArticleSet: it is no file of a PubMed baseline")
    return buffer, root.end(), b"".join(_NAMESPACES.findall(root[2])), root[3] == b"/"


def _cut_elements(buffer: bytes, position: int, path: Path) -> tuple[list[tuple[str, int, int]], int, int]:
    """Return the whole elements below the root from `position` on.

    Returns:
        [(kind, first, last)], the position after the last of them, and the position after the root's end tag
        or 0 if that is not reached.
    """
    elements: list[tuple[str, int, int]] = []
    find, startswith = buffer.find, buffer.startswith
    plain = not (_opens_with(buffer, b"!", position) or _opens_with(buffer, b"?", position))
    while True:
        first = _end(_SPACE, buffer, position)
        start: bytes | None = b"<PubmedArticle>"
        kind: str | None = ARTICLE
        ending = b"</PubmedArticle>"
        if not startswith(b"<PubmedArticle>", first):  # in the usual case the search below is spared
            root_end = _ROOT_END.match(buffer, first)
            if root_end:
                return elements, first, root_end.end()
            start = next((start for start in _ENDS if startswith(start, first)), None)
            if start is None:
                found = buffer[first : first + 60]
                if len(found) < 60 and (not found or _may_grow(found)):
                    return elements, first, 0
                text = found.decode(errors="replace").split("\n")[0]
                raise broken_file(path, f"below the root stands {text!r} where a PubmedArticle should start")
            kind, ending = _ENDS[start]
        last = find(ending, first) if plain or kind is None else _find_outside(buffer, ending, first)
        if last < 0:
            return elements, position, 0
        position = last + len(ending) if ending else first + len(start or b"")
        if kind is not None:
            elements.append((kind, first, position))


def _opens_with(buffer: bytes, sign: bytes, first: int) -> bool:
    """Return whether a `<` with this sign behind it stands in a buffer; the sign alone is found ten times as fast."""
    while (first := buffer.find(sign, first) + 1) > 0:
        if first > 1 and buffer[first - 2] == ord("<"):
            return True
    return False


def _find_outside(buffer: bytes, ending: bytes, first: int) -> int:
    """Return where `ending` stands outside of comments, CDATA and instructions; -1 where the buffer does not say."""
    while (last := buffer.find(ending, first)) >= 0:
        opened = [(place, end) for start, end in _HIDING if (place := buffer.find(start, first, last)) >= 0]
        if not opened:
            return last
        place, end = min(opened)
        first = buffer.find(end, place)
        if first < 0:
            return -1
        first += len(end)
    return -1


def _end(pattern: re.Pattern[bytes], buffer: bytes, position: int = 0) -> int:
    """Return where the match of a pattern that always matches, if only nothing, ends."""
    found = pattern.match(buffer, position)
    assert found is not None
    return found.end()


def _may_grow(found: bytes) -> bool:
    """Return whether more bytes could make a known start of what stands at the end of a block."""
    root_end = b"</PubmedArticleSet"
    return any(start.startswith(found) for start in (*_ENDS, root_end)) or found.startswith(root_end)


def _unfinished(rest: bytes) -> str:
    """Return what is missing at the end of a file whose last bytes, after the last whole record, are `rest`."""
    start = rest.strip()[:40].decode(errors="replace")
    if start:
        return f"it ends inside the element that starts with {start!r}"
    return "the end tag of PubmedArticleSet is missing"


def _require_nothing_after(rest: bytes, blocks: Iterator[bytes], path: Path) -> None:
    """Refuse content behind the root's end tag."""
    rest = rest.lstrip()
    for block in blocks:
        rest = (rest + block).lstrip()
        if len(rest) > LARGEST_PROLOGUE + len(block):
            break
    if _end(_TAIL, rest) != len(rest):
        raise broken_file(path, "something stands behind the end tag of PubmedArticleSet")
