"""Documents of one's own as text shards: a document a line, JSON lines, or parquet with a field `text`."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from compactbio.corpus.shards import ShardCounts, TextShardWriter, read_texts
from compactbio.downloads.content import GZIP_ERRORS, encoding_advice
from compactbio.errors import UserError, require_file
from compactbio.files import replacing_file
from compactbio.forms import parse_json

ENDINGS = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz", ".parquet")
LONGEST_LINE_BYTES = 2**26  # of a document


def import_documents(path: Path, output: Path) -> ShardCounts:
    """Write the documents of a file as a text shard and return the counts; `pmid` is their number from 1.

    Documents without text are dropped, their numbers stay unused.

    Raises:
        UserError: the file is missing, of an unknown kind, or broken; the message names the line.
    """
    seen = kept = 0
    with replacing_file(output) as temporary, TextShardWriter(temporary) as writer:
        for seen, text in enumerate(_read_documents(path), start=1):
            if stripped := text.strip():
                writer.append([seen], [stripped])
                kept += 1
        if not kept:
            raise UserError(f"{path} has no document with text: correct the key corpus.documents")
    return {
        "kind": "documents",
        "citations": seen,
        "kept": kept,
        "dropped": {"without_text": seen - kept} if seen > kept else {},
        "ignored": {},
        "with_abstract": 0,
        "structured": 0,
        "bracketed_titles": 0,
        "settings": {},
        "sources": [{"name": path.name, "citations": seen, "kept": kept}],
    }


def _read_documents(path: Path) -> Iterator[str]:
    """Return the documents of a file by its ending."""
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        raise UserError(f"{path} is of no known kind: corpus.documents takes {', '.join(ENDINGS)}")
    if name.endswith(".parquet"):
        return chain.from_iterable(read_texts(path))
    lines = _read_lines(path, compressed=name.endswith(".gz"))
    if ".jsonl" in name[-len(".jsonl.gz") :]:
        return (_text_of_json(line, path, number) for number, line in lines if line.strip())
    return (line for _, line in lines)


def _read_lines(path: Path, *, compressed: bool) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line); lines end at line feeds only."""
    number, line = 0, b""
    require_file(path)
    try:
        with gzip.open(path, "rb") if compressed else path.open("rb") as stream:
            while line := stream.readline(LONGEST_LINE_BYTES + 1):
                number += 1
                if len(line) > LONGEST_LINE_BYTES:
                    raise UserError(f"{path}, line {number}, has more than {LONGEST_LINE_BYTES:,} bytes: split it")
                if number == 1 and b"\r" in line.rstrip(b"\r\n") and not line.endswith(b"\n"):
                    raise UserError(f"{path} ends its lines with CR alone: convert it, as with tr '\\r' '\\n'")
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: correct the key corpus.documents") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, line {number}, is not UTF-8 ({error.reason}). {encoding_advice(line)}") from None
    except GZIP_ERRORS as error:
        raise UserError(f"{path} is not sound gzip after line {number} ({error}): copy it again") from None


def _text_of_json(line: str, path: Path, number: int) -> str:
    """Return the field `text` of a line of JSON."""
    try:
        value = parse_json(line)
    except ValueError as error:
        raise UserError(f"{path}, line {number}, is not JSON ({error}): one object a line is expected") from None
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise UserError(f"{path}, line {number}, has no field `text` with a string")
    return text
