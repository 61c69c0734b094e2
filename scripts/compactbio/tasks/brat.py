"""Annotated documents in brat's standoff form: NAME.txt with the text, NAME.ann with the annotations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from compactbio.errors import UserError
from compactbio.tasks.documents import Annotation, Document, Passage
from compactbio.tasks.prepared import Definition, Prepared
from compactbio.tasks.spans import read_documents
from compactbio.tasks.texts import read_lines, read_text

_ENTITY = re.compile(r"(T\d+)\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t(.*)")
_OTHERS = ("R", "E", "A", "M", "N", "#", "*")  # relations, events, attributes, normalisations, notes, equivalences


def read_dataset(definition: Definition) -> Prepared:
    """Return a data set of folders, one a split.

    Raises:
        UserError: a split is no folder, a text has no annotation file, or one is not of this form.
    """
    for split, path in definition.split_files().items():
        if not path.is_dir():
            raise UserError(
                f"{path} is a file; brat's form is a folder of NAME.txt and NAME.ann: correct "
                f"{definition.key}.files.{split}"
            )
    prepared = read_documents(definition, _read, (".txt",))
    prepared.inputs += [path.with_suffix(".ann") for path in prepared.inputs]
    return prepared


def _read(path: Path, definition: Definition) -> Iterator[Document]:
    """Yield the one document of a text file."""
    beside = path.with_suffix(".ann")
    if not beside.is_file():
        raise UserError(f"{beside} does not exist beside {path.name}: add it, empty where nothing is annotated")
    annotations = []
    for number, line in enumerate(read_lines(beside) if beside.stat().st_size else [], start=1):
        found = _ENTITY.fullmatch(line)
        if found is None:
            if line.strip() and not line.startswith(_OTHERS):
                raise UserError(
                    f"{beside}, line {number}: expected T1<tab>Type 0 5<tab>text, found {line[:80]!r}: correct it"
                )
            continue
        name, kind, places, text = found.groups()
        spans = [(int(start), int(end)) for start, end in (place.split(" ") for place in places.split(";"))]
        annotations.append(Annotation(name, kind, spans, text))
    yield Document(path.stem, str(beside), [Passage(0, read_text(path))], annotations)
