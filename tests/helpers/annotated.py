"""One tiny corpus of annotated documents in every form, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compactbio.tasks.prepare import reader_of
from compactbio.tasks.prepared import Prepared, parse_definition
from helpers.tasks import write

LABELS = ["O", "B-Drug", "I-Drug", "B-Disease", "I-Disease"]
TITLE = "Aspirin in breast cancer."
ABSTRACT = "We gave α-TNF (5 mg) to 8 mice. Breast cancer shrank."
# A document is its title and its abstract; type, text, and how many times the text occurred before, by hand:
# 0 Aspirin | 11 breast cancer | 26: 34 α-TNF | 58 Breast cancer
ENTITIES = [
    ("Drug", 0, 7, "Aspirin"),
    ("Disease", 11, 24, "breast cancer"),
    ("Drug", 34, 39, "α-TNF"),
    ("Disease", 58, 71, "Breast cancer"),
]
WORDS = [
    ["Aspirin", "in", "breast", "cancer", "."],
    ["We", "gave", "α", "-", "TNF", "(", "5", "mg", ")", "to", "8", "mice", "."],
    ["Breast", "cancer", "shrank", "."],
]
TAGS = [[1, 0, 3, 4, 0], [0, 0, 1, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0], [3, 4, 0, 0]]
FORMS = ("span_lines", "bioc_json", "bioc_xml", "brat", "pubtator")
NAMES = {"span_lines": ".jsonl", "bioc_json": ".json", "bioc_xml": ".xml", "brat": "", "pubtator": ".txt"}

Entity = tuple[str, int, int, str]


def definition(form: str, **changes: Any) -> dict[str, Any]:
    """Return the definition of a dataset of this corpus in one form."""
    files = {split: f"{split}{NAMES[form]}" for split in ("train", "test")}
    return {"task": "ner", "layout": form, "source": None, "folder": "own", "files": files, "labels": LABELS, **changes}


def write_corpus(
    root: Path, form: str, split: str, name: str = "1", entities: list[Entity] = ENTITIES, abstract: str = ABSTRACT
) -> Path:
    """Write a document as the only one of a split."""
    path = root / "own" / f"{split}{NAMES[form]}"
    if form == "brat":
        write(path / f"{name}.txt", f"{TITLE}\n{abstract}\n")
        lines = [f"T{n}\t{kind} {a} {b}\t{text}\n" for n, (kind, a, b, text) in enumerate(entities, start=1)]
        return write(path / f"{name}.ann", "".join([*lines, "#1\tAnnotatorNotes T1\tsure\nR1\tx Arg1:T1 Arg2:T2\n"]))
    if form == "span_lines":
        spans = [{"start": a, "end": b, "label": kind} for kind, a, b, _ in entities]
        return write(path, json.dumps({"id": name, "text": f"{TITLE}\n{abstract}", "entities": spans}) + "\n")
    if form == "pubtator":
        lines = [f"{name}|t|{TITLE}\n{name}|a|{abstract}\n"]
        lines += [f"{name}\t{a}\t{b}\t{text}\t{kind}\tD1\n" for kind, a, b, text in entities]
        return write(path, "".join([*lines, f"{name}\tCID\tD1\tD2\n\n"]))
    parts = [
        (0, TITLE, [one for one in entities if one[1] < len(TITLE)]),
        (len(TITLE) + 1, abstract, [one for one in entities if one[1] > len(TITLE)]),
    ]
    if form == "bioc_json":
        return write(path, json.dumps({"source": "", "documents": [bioc_document(name, parts)]}))
    return write(path, bioc_xml(name, parts))


def bioc_document(name: str, parts: list[tuple[int, str, list[Entity]]]) -> dict[str, Any]:
    """Return a document of BioC's JSON."""
    passages = [
        {
            "offset": offset,
            "infons": {},
            "text": text,
            "sentences": [],
            "annotations": [
                {"id": "7", "infons": {"type": kind}, "text": own, "locations": [{"offset": a, "length": b - a}]}
                for kind, a, b, own in entities
            ],
        }
        for offset, text, entities in parts
    ]
    return {"id": name, "infons": {}, "passages": passages, "relations": []}


def bioc_xml(name: str, parts: list[tuple[int, str, list[Entity]]], head: str = "") -> str:
    """Return a collection of one document in BioC's XML."""
    passages = ""
    for offset, text, entities in parts:
        passages += f"<passage><infon key='section'>t</infon><offset>{offset}</offset><text>{text}</text>"
        for kind, a, b, own in entities:
            passages += f"<annotation id='7'><infon key='type'>{kind}</infon><infon key='id'>D1</infon>"
            passages += f"<location offset='{a}' length='{b - a}'/><text>{own}</text></annotation>"
        passages += "</passage>"
    head = head or '<!DOCTYPE collection SYSTEM "BioC.dtd">'
    document = f"<document><id>{name}</id>{passages}</document>"
    return f"<?xml version='1.0' encoding='UTF-8'?>{head}<collection><source/><date/><key/>{document}</collection>"


def corpus(root: Path, form: str, entities: list = ENTITIES, abstract: str = ABSTRACT) -> Path:
    """Write train with these annotations, and test with none but those of the corpus."""
    write_corpus(root, form, "train", "1", entities, abstract)
    write_corpus(root, form, "test", "2")
    return root


def read(root: Path, form: str, **changes: Any) -> Prepared:
    """Return the corpus as its layout's reader gives it."""
    parsed = parse_definition("x", definition(form, **changes), root)
    return reader_of(parsed.layout)(parsed)
