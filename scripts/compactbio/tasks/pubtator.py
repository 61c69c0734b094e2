"""Annotated documents in PubTator's form: PMID|t|title, PMID|a|abstract, then a tab-separated line an annotation.

Offsets count in title, one character, abstract.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from compactbio.errors import UserError
from compactbio.tasks.documents import CHARACTERS, Annotation, Document, Passage, place_of
from compactbio.tasks.prepared import Definition, Prepared
from compactbio.tasks.spans import read_documents
from compactbio.tasks.texts import read_lines

_TEXT = re.compile(r"([^|\t]+)\|([ta])\|(.*)")


def read_dataset(definition: Definition) -> Prepared:
    """Return a data set of such files."""
    return read_documents(definition, _read, (".txt", ".pubtator"))


def _read(path: Path, definition: Definition) -> Iterator[Document]:
    """Yield the documents of a file, which blank lines part."""
    unit = definition.offsets or CHARACTERS
    document: Document | None = None
    for number, line in enumerate(read_lines(path), start=1):
        where = f"{path}, line {number}"
        if not line.strip():
            if document is not None:
                yield document
            document = None
        elif found := _TEXT.fullmatch(line):
            name, part, text = found.groups()
            if document is None and part == "t":
                document = Document(name, where, [Passage(0, text)])
            elif document is not None and part == "a" and name == document.name and len(document.passages) == 1:
                title = document.passages[0].text
                offset = place_of(title, len(title), unit) + 1
                document.passages.append(Passage(offset, text))
            else:
                raise UserError(
                    f"{where}: {name}|{part}| where a document's |t| line, its |a| line and its annotations are "
                    "expected, then a blank line: correct the order"
                )
        else:
            annotation = _annotation(line, where, document)
            if document is not None and annotation is not None:
                document.annotations.append(annotation)
    if document is not None:
        yield document


def _annotation(line: str, where: str, document: Document | None) -> Annotation | None:
    """Return the annotation in a line; None of a relation."""
    cells = line.split("\t")
    if document is None or cells[0] != document.name:
        expected = "a document's |t| line" if document is None else f"a line of document {document.name}"
        raise UserError(f"{where}: {expected} is expected, found {line[:80]!r}: correct it")
    if len(cells) >= 4 and not cells[1].strip().isdecimal():
        return None
    if len(cells) < 5 or not (cells[1].isdecimal() and cells[2].isdecimal()):
        raise UserError(
            f"{where}: expected PMID, start, end, text and type, separated by tabs, found {line[:80]!r}: correct it"
        )
    return Annotation(f"annotation {cells[1]}-{cells[2]}", cells[4], [(int(cells[1]), int(cells[2]))], cells[3])
