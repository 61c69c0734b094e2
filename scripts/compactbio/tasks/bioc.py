"""Annotated documents as BioC collections, in JSON and in XML: passages, or sentences of them, with annotations.

Offsets count from the document's beginning. BioC's DTD recommends bytes of UTF-8, exports of NLM count characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from compactbio.errors import UserError, reading, require_file
from compactbio.forms import LARGEST_TEXT, require_form
from compactbio.tasks.documents import Annotation, Document, Passage
from compactbio.tasks.prepared import Definition, Prepared
from compactbio.tasks.spans import read_documents
from compactbio.tasks.texts import read_json_text

_TYPE = "type"  # the infon that names an annotation's type


class _Location(TypedDict):
    offset: int
    length: int


class _Annotation(TypedDict):
    id: NotRequired[str | int | None]
    infons: dict[str, Any]
    text: NotRequired[str | None]
    locations: list[_Location]


class _Sentence(TypedDict):
    offset: int
    text: NotRequired[str | None]
    annotations: NotRequired[list[_Annotation]]


class _Passage(_Sentence):
    sentences: NotRequired[list[_Sentence]]


class _Document(TypedDict):
    id: str | int
    passages: list[_Passage]


class _Collection(TypedDict):
    documents: list[_Document]


class _Export(TypedDict):
    PubTator3: list[_Document]


def read_json_dataset(definition: Definition) -> Prepared:
    """Return a data set of collections in JSON, or of exports of PubTator 3, an object with their documents."""
    return read_documents(definition, _read_json, (".json",))


def read_xml_dataset(definition: Definition) -> Prepared:
    """Return a data set of collections in XML."""
    return read_documents(definition, _read_xml, (".xml",))


def _read_json(path: Path, definition: Definition) -> Iterator[Document]:
    """Yield the documents of a file in JSON."""
    value = read_json_text(path)
    exported = isinstance(value, dict) and "PubTator3" in value
    require_form(value, _Export if exported else _Collection, path, "a BioC collection is expected: correct it")
    for document in value["PubTator3" if exported else "documents"]:
        yield _document(document, str(path))


def _document(value: _Document, where: str) -> Document:
    """Return a document of the form above; a passage with sentences is those."""
    document = Document(str(value["id"]), where)
    if not document.name.strip():
        raise UserError(f"{where}: a document has an empty id: name it")
    for passage in value["passages"]:
        sentences = [one for one in passage.get("sentences") or () if one.get("text")]
        for part in sentences or [passage]:
            number = len(document.passages)
            document.passages.append(Passage(part["offset"], part.get("text") or "", bool(sentences)))
            document.annotations += _annotations(part, number, document)
        if sentences:
            document.annotations += _annotations(passage, None, document)
    if any(one.offset > other.offset for one, other in pairwise(document.passages)):
        raise UserError(
            f"{where}, document {document.name}: its passages are not in the order of their offsets: sort them"
        )
    return document


def _annotations(part: _Sentence, passage: int | None, document: Document) -> Iterator[Annotation]:
    """Yield the annotations of a passage or sentence."""
    for number, one in enumerate(part.get("annotations") or (), start=1):
        name, kind = f"annotation {one.get('id') or number}", one["infons"].get(_TYPE)
        where = f"{document.where}, document {document.name}: {name}"
        if not isinstance(kind, str):
            raise UserError(f"{where} has no infon {_TYPE!r} that says its type: add it")
        if not one["locations"]:
            raise UserError(f"{where} has no location: add it, or remove the annotation")
        spans = [(place["offset"], place["offset"] + place["length"]) for place in one["locations"]]
        yield Annotation(name, kind, spans, one.get("text"), passage)


def _read_xml(path: Path, definition: Definition) -> Iterator[Document]:
    """Yield the documents of a file in XML, one in memory at a time; nothing outside of the file is read.

    Raises:
        UserError: it is not well-formed or of another form, or it declares entities, which could stand for any text.
    """
    from lxml import etree

    require_file(path, LARGEST_TEXT)
    options = {"resolve_entities": False, "no_network": True, "load_dtd": False, "remove_comments": True}
    with reading(path, "a BioC collection is expected: correct it"):
        root = None
        for event, element in etree.iterparse(str(path), events=("start", "end"), remove_pis=True, **options):
            if root is None:
                root = element
                if root.tag != "collection":
                    raise UserError(f"{path} has the root {root.tag}, a BioC collection is expected: correct the file")
                declared = root.getroottree().docinfo.internalDTD
                if declared is not None and next(declared.iterentities(), None) is not None:
                    raise UserError(f"{path} declares entities, which are not read: write out what they stand for")
            elif event == "end" and element.tag == "document":
                yield _document(_of_element(element, path), f"{path}, line {element.sourceline}")
                element.clear()
                while element.getprevious() is not None:
                    del root[0]


def _of_element(document: Any, path: Path) -> _Document:
    """Return an element `document` in the form that JSON has."""

    def number(text: str | None, line: int) -> int:
        if text is None or not text.strip().isdecimal():
            raise UserError(f"{path}, line {line}: {text!r:.80} where an offset or a length is needed: correct it")
        return int(text)

    def part(element: Any) -> Any:
        return {
            "offset": number(element.findtext("offset"), element.sourceline),
            "text": element.findtext("text"),
            "annotations": [annotation(one) for one in element.iterfind("annotation")],
            "sentences": [part(one) for one in element.iterfind("sentence")],
        }

    def annotation(element: Any) -> _Annotation:
        return {
            "id": element.get("id"),
            "infons": {one.get("key"): one.text for one in element.iterfind("infon")},
            "text": element.findtext("text"),
            "locations": [
                {key: number(place.get(key), place.sourceline) for key in ("offset", "length")}  # type: ignore[misc]
                for place in element.iterfind("location")
            ],
        }

    return {"id": document.findtext("id") or "", "passages": [part(one) for one in document.iterfind("passage")]}
