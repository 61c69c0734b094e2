"""Annotated documents as JSON lines: an object with an id, a text and its entities (start, end, label) a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.tasks.documents import Annotation, Document, Passage
from compactbio.tasks.prepared import Definition, Prepared
from compactbio.tasks.spans import read_documents
from compactbio.tasks.texts import read_json_objects


def read_dataset(definition: Definition) -> Prepared:
    """Return a data set of such lines; `columns` may name the keys of text and id."""
    return read_documents(definition, _read, (".jsonl",))


def _read(path: Path, definition: Definition) -> Iterator[Document]:
    """Yield the documents of a file."""
    text_key, name_key = definition.columns.get("text", "text"), definition.columns.get("document", "id")
    for number, row in read_json_objects(path, 'a document a line, as {"id": "1", "text": "A b.", "entities": []}'):
        where = f"{path}, line {number}"
        name, text, entities = row.get(name_key), row.get(text_key), row.get("entities")
        if not isinstance(name, str | int) or not str(name).strip():
            raise UserError(f"{where}: no {name_key} that names the document: add it, or name {definition.key}.columns")
        if not isinstance(text, str):
            raise UserError(f"{where}: no {text_key} that is a text: correct it, or {definition.key}.columns.text")
        if not isinstance(entities, list):
            raise UserError(f"{where}: no entities, a list that may be empty: add it")
        annotations = [_annotation(one, place, where) for place, one in enumerate(entities, start=1)]
        yield Document(str(name), where, [Passage(0, text)], annotations)


def _annotation(value: Any, place: int, where: str) -> Annotation:
    """Return an entity of a line."""
    form: dict[str, Any] = value if isinstance(value, dict) else {}
    start: Any = form.get("start")
    end: Any = form.get("end")
    label, text = form.get("label"), form.get("text")
    if {type(start), type(end)} != {int} or not isinstance(label, str) or not isinstance(text, str | None):
        raise UserError(
            f'{where}: entity {place} is {str(value)[:80]}, needed is {{"start": 0, "end": 5, "label": "Gene"}}, and '
            '"text" where it is said: correct it'
        )
    return Annotation(f"entity {place}", label, [(start, end)], text)
