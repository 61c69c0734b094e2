"""Files of annotated documents: what their forms allow is read, what is broken or hostile is refused by its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.annotated import (
    ABSTRACT,
    ENTITIES,
    NAMES,
    TITLE,
    bioc_document,
    bioc_xml,
    corpus,
    definition,
    read,
    write_corpus,
)
from helpers.tasks import write

from compactbio.errors import UserError
from compactbio.kinds import KINDS
from compactbio.settings.datasets import data_faults

FIRST = ENTITIES[0]


def test_sentences_of_bioc_are_taken_as_they_are(tmp_path: Path) -> None:
    parts = [(0, "One. Two of them", [("Drug", 5, 8, "Two")]), (17, "and three.", [])]
    document = bioc_document("1", parts)
    for part in document["passages"]:
        del part["sentences"]
    over = {"id": 9, "infons": {"type": "Drug"}, "text": "them and", "locations": [{"offset": 12, "length": 8}]}
    passage = {"offset": 0, "sentences": document["passages"], "annotations": [over]}
    for split, name in (("train", "1"), ("test", "2")):
        write(
            tmp_path / "own" / f"{split}.json",
            json.dumps({"PubTator3": [{"id": name, "passages": [passage]}]}),
        )
    with pytest.raises(UserError, match=r"2 across sentences, the first in .*annotation 9 \(Drug, 12 to 20\)"):
        read(tmp_path, "bioc_json")
    prepared = read(tmp_path, "bioc_json", misfits={"across_sentences": "drop"}, labels=["O", "B-Drug", "I-Drug"])
    assert prepared.splits["train"]["words"] == [["One", ".", "Two", "of", "them"], ["and", "three", "."]]
    assert prepared.splits["train"]["labels"][0] == [0, 0, 1, 0, 0]


ENTITY = '<!DOCTYPE collection [<!ENTITY a "Aspirin">]>'
LAUGHS = "<!DOCTYPE collection [" + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 9}">' for n in range(1, 12)) + "]>"
OUTSIDE = '<!DOCTYPE collection [<!ENTITY a SYSTEM "own/secret.txt">]>'
PARAMETER = '<!DOCTYPE collection [<!ENTITY % a SYSTEM "own/secret.txt"> %a;]>'


@pytest.mark.parametrize("head", [ENTITY, LAUGHS, OUTSIDE, PARAMETER])
def test_xml_that_declares_entities_is_refused(tmp_path: Path, head: str) -> None:
    write(tmp_path / "own" / "secret.txt", "a secret")
    parts = [(0, "&a; here" if head == ENTITY else "here", [])]
    write(tmp_path / "own" / "train.xml", bioc_xml("1", parts, head))
    write_corpus(tmp_path, "bioc_xml", "test", "2")
    with pytest.raises(UserError, match=r"train\.xml (declares entities|is damaged)") as refused:
        read(tmp_path, "bioc_xml")
    assert "secret" not in str(refused.value)


def test_xml_may_have_comments_cdata_and_escapes(tmp_path: Path) -> None:
    write_corpus(tmp_path, "bioc_xml", "test", "2")
    parts = [(0, "A<!-- not here --> &lt;5% <![CDATA[<b>]]>&#945; drug", [("Drug", 9, 10, "α")])]
    write(tmp_path / "own" / "train.xml", bioc_xml("1", parts))
    prepared = read(tmp_path, "bioc_xml")
    assert prepared.splits["train"]["words"] == [["A", "<", "5", "%", "<", "b", ">", "α", "drug"]]
    assert prepared.splits["train"]["labels"] == [[0] * 7 + [1, 0]]


BROKEN = [
    ("span_lines", '{"id": "1", "text": "a b", "entities": [{"start": 0, "end": true, "label": "x"}]}', "entity 1 is"),
    ("span_lines", '{"text": "a b", "entities": []}', r"line 1: no id that names the document: .*datasets\.x\.columns"),
    ("span_lines", '{"id": "1", "entities": []}', "line 1: no text that is a text"),
    ("span_lines", '{"id": "1", "text": "a"}', "line 1: no entities, a list that may be empty"),
    (
        "span_lines",
        '{"id": 1, "text": "a", "entities": []}\n{"id": 1, "text": "b", "entities": []}\n',
        "line 2: document 1 occurs in train before, with another text",
    ),
    ("bioc_json", '{"documents": [{"id": "1", "passages": [{"offset": "0", "text": "a"}]}]}', r"passages\[0\]\.offset"),
    ("bioc_json", "[]", "a BioC collection is expected"),
    ("bioc_json", '{"documents": [{"id": "1", "passages": []}]}', "holds no sentence"),
    ("bioc_xml", "<collection><document></collection>", "is damaged, or something else than it should be"),
    ("bioc_xml", "<a/>", "has the root a, a BioC collection is expected"),
    ("bioc_xml", bioc_xml("1", [(0, "a", [])]).replace("<offset>0", "<offset>x"), "'x' where an offset or a length"),
    ("bioc_xml", bioc_xml("", [(0, "a", [])]), "a document has an empty id"),
    ("pubtator", "1|a|Abstract first.\n", r"line 1: 1\|a\| where a document's \|t\| line"),
    ("pubtator", "1|t|Title\n2|a|Other\n", r"line 2: 2\|a\| where"),
    ("pubtator", "1|t|Title\n2\t0\t5\tTitle\tDrug\n", "line 2: a line of document 1 is expected"),
    ("pubtator", "1|t|Title\n1\t0\t5\tTitle\n", "line 2: expected PMID, start, end, text and type"),
    ("pubtator", "Title\n", r"line 1: a document's \|t\| line is expected"),
]


@pytest.mark.parametrize(("form", "content", "message"), BROKEN)
def test_files_of_another_form_are_refused_by_place(tmp_path: Path, form: str, content: str, message: str) -> None:
    write(tmp_path / "own" / f"train{NAMES[form]}", content)
    write_corpus(tmp_path, form, "test", "2")
    with pytest.raises(UserError, match=message) as refused:
        read(tmp_path, form)
    assert f"train{NAMES[form]}" in str(refused.value)


def test_bioc_without_a_type_a_location_or_order_is_refused(tmp_path: Path) -> None:
    write_corpus(tmp_path, "bioc_json", "test", "2")
    for change, message in (
        (lambda document: document["passages"][0]["annotations"][0]["infons"].clear(), "no infon 'type'"),
        (lambda document: document["passages"][0]["annotations"][0]["locations"].clear(), "has no location"),
        (lambda document: document["passages"].reverse(), "not in the order of their offsets"),
    ):
        document = bioc_document("1", [(0, TITLE, [FIRST]), (26, ABSTRACT, [])])
        change(document)
        write(tmp_path / "own" / "train.json", json.dumps({"documents": [document]}))
        with pytest.raises(UserError, match=message):
            read(tmp_path, "bioc_json")


def test_brat_needs_both_files_in_a_folder(tmp_path: Path) -> None:
    corpus(tmp_path, "brat")
    with pytest.raises(UserError, match=r"1\.ann is a file; brat's form is a folder .*datasets\.x\.files\.train"):
        read(tmp_path, "brat", files={"train": "train/1.ann", "test": "test"})
    write(tmp_path / "own" / "train" / "1.ann", "T1 Drug 0 7 Aspirin\n")
    with pytest.raises(UserError, match=r"1\.ann, line 1: expected T1<tab>Type 0 5<tab>text, found 'T1 Drug 0 7"):
        read(tmp_path, "brat")
    write(tmp_path / "own" / "train" / "1.ann", "")
    assert read(tmp_path, "brat").counts["train"]["entities"] == 0
    (tmp_path / "own" / "train" / "1.ann").unlink()
    with pytest.raises(UserError, match=r"1\.ann does not exist beside 1\.txt: add it, empty where"):
        read(tmp_path, "brat")


def test_keys_of_json_lines_are_named(tmp_path: Path) -> None:
    row = {"pmid": 7, "abstract": TITLE, "entities": [{"start": 0, "end": 7, "label": "Drug", "text": "Aspirin"}]}
    for split in ("train", "test"):
        write(tmp_path / "own" / f"{split}.jsonl", json.dumps(row) + "\n")
    prepared = read(tmp_path, "span_lines", columns={"text": "abstract", "document": "pmid"})
    assert prepared.splits["test"]["labels"] == [[1, 0, 0, 0, 0]]
    assert prepared.places["document"] == ["7", "7"]


def test_definitions_that_do_not_fit_are_refused() -> None:
    kind = KINDS["ner"]
    for change, message in (
        ({"types": ["Gene"]}, "x.types: Gene without a label: add B-Gene, I-Gene"),
        ({"separator": "blank"}, "x.separator: not known to the layout brat; leave it out"),
        ({"files": {"train": "a"}}, "x.files: missing test"),
    ):
        assert next(data_faults("x", kind, {**definition("brat"), **change})).startswith(message)
