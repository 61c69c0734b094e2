"""Annotated documents: one small corpus in every form gives the same words and tags; what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from helpers.annotated import (
    ABSTRACT,
    ENTITIES,
    FORMS,
    NAMES,
    TAGS,
    TITLE,
    WORDS,
    bioc_document,
    bioc_xml,
    definition,
    write_corpus,
)
from helpers.tasks import write

from compactbio.errors import UserError
from compactbio.kinds import KINDS
from compactbio.settings.datasets import data_faults
from compactbio.tasks.documents import character_at, length_in
from compactbio.tasks.prepare import prepare_dataset, reader_of
from compactbio.tasks.prepared import Prepared, parse_definition

FIRST, SECOND, THIRD, FOURTH = ENTITIES
every_form = pytest.mark.parametrize("form", FORMS)


def corpus(root: Path, form: str, entities: list = ENTITIES, abstract: str = ABSTRACT) -> Path:
    """Write train with these annotations, and test with none but those of the corpus."""
    write_corpus(root, form, "train", "1", entities, abstract)
    write_corpus(root, form, "test", "2")
    return root


def read(root: Path, form: str, **changes: Any) -> Prepared:
    parsed = parse_definition("x", definition(form, **changes), root)
    return reader_of(parsed.layout)(parsed)


@every_form
def test_every_form_gives_the_same_words_and_tags(tmp_path: Path, form: str) -> None:
    prepared = read(corpus(tmp_path, form), form)
    assert prepared.splits["train"] == prepared.splits["test"] == {"id": [0, 1, 2], "words": WORDS, "labels": TAGS}
    counts = prepared.counts["test"]
    assert [counts[name] for name in ("documents", "sentences", "words", "entities")] == [1, 3, 22, 4]
    assert counts["documents_also_in_train"] == 0
    assert counts["labels"] == {"O": 14, "B-Drug": 2, "I-Drug": 2, "B-Disease": 2, "I-Disease": 2}
    assert prepared.notes["annotations"]["types"]["train"] == {"Disease": 2, "Drug": 2}


@every_form
def test_the_manifest_has_every_file_and_the_places_of_words(tmp_path: Path, form: str) -> None:
    manifest = prepare_dataset("x", definition(form), corpus(tmp_path, form), tmp_path / "out")
    ends = {"brat": ["test/2.ann", "test/2.txt", "train/1.ann", "train/1.txt"]}
    assert sorted(manifest["inputs"]) == ends.get(form, [f"test{NAMES[form]}", f"train{NAMES[form]}"])
    assert manifest["annotations"]["offsets"] == "characters" and "places.parquet" in manifest["files"]
    rows = pq.read_table(tmp_path / "out" / "places.parquet").to_pylist()
    assert [(row["split"], row["id"], row["document"]) for row in rows[2:4]] == [("train", 2, "1"), ("test", 0, "2")]
    whole = f"{TITLE}\n{ABSTRACT}"
    for row, words in zip(rows[3:], WORDS, strict=True):
        places = [(row["offset"] + a, row["offset"] + b) for a, b in zip(row["starts"], row["ends"], strict=True)]
        assert [whole[a:b] for a, b in places] == words


@every_form
def test_a_split_may_be_a_folder(tmp_path: Path, form: str) -> None:
    for name in ("1", "2"):
        for split in ("train", "test"):
            path = write_corpus(tmp_path, form, split, name)
            if form != "brat":
                path.rename(write(tmp_path / "own" / split / f"{name}{NAMES[form]}", ""))
    write(tmp_path / "own" / "train" / ".hidden.txt", "x")
    prepared = read(tmp_path, form, files={"train": "train", "test": "test"})
    assert prepared.splits["train"]["words"] == WORDS * 2
    assert prepared.counts["test"]["documents_also_in_train"] == 2
    write(tmp_path / "own" / "empty" / "x.zip", "")
    with pytest.raises(UserError, match=r"empty has no file that ends in \.\w+"):
        read(tmp_path, form, files={"train": "empty", "test": "test"})


@every_form
def test_types_are_chosen(tmp_path: Path, form: str) -> None:
    prepared = read(corpus(tmp_path, form), form, types=["Disease"], labels=["O", "B-Disease", "I-Disease"])
    assert prepared.splits["test"]["labels"] == [[2 * (n > 2) + (n > 3) and n - 2 for n in row] for row in TAGS]
    assert prepared.counts["test"]["entities_of_other_types"] == prepared.counts["test"]["entities"] == 2
    together = read(tmp_path, form, types=["Disease", "Drug"], labels=["O", "B", "I"])
    assert together.splits["test"]["labels"] == [[n and 2 - n % 2 for n in row] for row in TAGS]
    with pytest.raises(UserError, match=r"document 1: unknown label 'B-Drug'; .*choose types by datasets\.x\.types"):
        read(tmp_path, form, labels=["O", "B", "I"])
    with pytest.raises(UserError, match="has an entity of type 'Gene'; they have 'Disease', 'Drug'"):
        read(tmp_path, form, types=["Gene"], labels=["O", "B", "I"])


def put(kind: str, start: int, end: int) -> tuple[str, int, int, str]:
    """Return an entity with its own text."""
    return kind, start, end, f"{TITLE}\n{ABSTRACT}"[start:end]


MISFITS = {
    "unaligned": ([put("Disease", 11, 17), put("Drug", 36, 38)], 1),  # "TN" of TNF
    "across_sentences": ([put("Disease", 52, 64)], 0),  # "mice. Breast"
    "overlapping": ([put("Disease", 11, 24), put("Disease", 18, 24), put("Drug", 11, 17)], 1),
}
CURES = {"unaligned": "widen or drop", "across_sentences": "drop, or sentences: lines", "overlapping": "keep_longest"}


@pytest.mark.parametrize("name", MISFITS)
@every_form
def test_misfits_are_refused_by_document_or_counted(tmp_path: Path, form: str, name: str) -> None:
    entities, kept = MISFITS[name]
    corpus(tmp_path, form, entities)
    told = name.replace("_", " ")
    place = r"train.*document 1: .* \((Drug|Disease), \d+ to \d+, '"
    with pytest.raises(
        UserError, match=rf"\d {told}, the first in .*{place}.*datasets\.x\.misfits\.{name}: {CURES[name]}"
    ):
        read(tmp_path, form)
    policy = CURES[name].replace("widen or ", "").partition(",")[0]
    prepared = read(tmp_path, form, misfits={name: policy})
    assert prepared.counts["train"]["entities"] == kept
    assert prepared.counts["train"][name] == len(entities) - kept
    assert prepared.notes["annotations"]["misfits"][name] == policy
    assert prepared.splits["train"]["words"] == WORDS  # which the annotations have no part in


def test_sentences_may_be_lines(tmp_path: Path) -> None:
    entities, _ = MISFITS["across_sentences"]
    prepared = read(corpus(tmp_path, "brat", entities), "brat", sentences="lines")
    assert prepared.splits["train"]["words"] == [WORDS[0], [*WORDS[1], *WORDS[2]]]
    assert prepared.splits["train"]["labels"][1] == [*[0] * 11, 3, 4, 4, 0, 0, 0]
    assert prepared.places["text"][1] == ABSTRACT and prepared.places["offset"][1] == 26
    assert prepared.notes["annotations"]["sentences"] == "lines"
    write(tmp_path / "own" / "train" / "1.ann", "")
    write(tmp_path / "own" / "train" / "1.txt", "\r\n  A b.\tC d. \r\n\n E\n")
    assert read(tmp_path, "brat", sentences="lines").places["text"][:2] == ["A b.\tC d.", "E"]


def test_widened_are_whole_words_and_may_then_overlap(tmp_path: Path) -> None:
    corpus(tmp_path, "brat", [put("Drug", 36, 38), put("Disease", 38, 39)])  # "TN" and "F"
    with pytest.raises(
        UserError, match=r"1 overlapping, .*T2 \(Disease, 38 to 39, 'F'\) and T1 \(Drug, 36 to 38, 'TN'\)"
    ):
        read(tmp_path, "brat", misfits={"unaligned": "widen"})
    prepared = read(tmp_path, "brat", misfits={"unaligned": "widen", "overlapping": "keep_longest"})
    assert prepared.splits["train"]["labels"][1] == [0, 0, 0, 0, 1, *[0] * 8]
    assert (prepared.counts["train"]["unaligned"], prepared.counts["train"]["overlapping"]) == (2, 1)


def test_all_kinds_of_misfits_are_named_at_once(tmp_path: Path) -> None:
    corpus(tmp_path, "pubtator", [one for entities, _ in MISFITS.values() for one in entities])
    with pytest.raises(UserError, match=r"1 across sentences, .*; 1 unaligned, .*; 3 overlapping, "):
        read(tmp_path, "pubtator")


def test_discontinuous_ones_are_refused_or_dropped_and_a_line_break_is_no_gap(tmp_path: Path) -> None:
    corpus(tmp_path, "brat")
    whole = tmp_path / "own" / "train" / "1.ann"
    write(whole, "T1\tDrug 0 7;11 17\tAspirin breast\nT2\tDisease 11 17;18 24\tbreast cancer\n")
    with pytest.raises(UserError, match=r"1 discontinuous, .*1\.ann, document 1: T1 \(Drug, 0 to 7, 11 to 17\) \(cor"):
        read(tmp_path, "brat")
    prepared = read(tmp_path, "brat", misfits={"discontinuous": "drop"})
    assert prepared.splits["train"]["labels"][0] == [0, 0, 3, 4, 0]
    assert prepared.counts["train"]["discontinuous"] == 1
    parts = [(0, TITLE, [FIRST]), (26, ABSTRACT, [])]
    document = bioc_document("1", parts)
    document["passages"][0]["annotations"][0]["locations"].append({"offset": 11, "length": 6})
    write(tmp_path / "own" / "train.json", json.dumps({"documents": [document]}))
    write_corpus(tmp_path, "bioc_json", "test", "2")
    with pytest.raises(UserError, match=r"1 discontinuous, .*annotation 7 \(Drug, 0 to 7, 11 to 17\)"):
        read(tmp_path, "bioc_json")


@every_form
def test_repeated_annotations_count_once(tmp_path: Path, form: str) -> None:
    prepared = read(corpus(tmp_path, form, [FIRST, FIRST]), form)
    assert prepared.counts["train"]["repeated_annotations"] == prepared.counts["train"]["entities"] == 1


@pytest.mark.parametrize("form", FORMS[1:])
def test_text_at_the_offsets_must_be_the_annotations_own(tmp_path: Path, form: str) -> None:
    corpus(tmp_path, form, [("Disease", 12, 25, "breast cancer")])
    with pytest.raises(
        UserError, match=r"document 1: .* \(Disease, 12 to 25\) is 'reast cancer\.' in the text, and 'br"
    ):
        read(tmp_path, form)
    corpus(tmp_path, form, [("Disease", 60, 990, "x")])
    with pytest.raises(UserError, match=r"\(Disease, 60 to 990\) is no place in a passage of its text"):
        read(tmp_path, form)
    corpus(tmp_path, form, [("Disease", 11, 24, "breast\tcancer" if form != "pubtator" else "breast  cancer")])
    assert read(tmp_path, form).counts["train"]["entities"] == 1  # white space apart


@pytest.mark.parametrize(("unit", "code", "size"), [("utf8_bytes", "utf-8", 1), ("utf16_units", "utf-16-le", 2)])
@every_form
def test_offsets_may_count_otherwise_and_the_refusal_says_how(
    tmp_path: Path, form: str, unit: str, code: str, size: int
) -> None:
    abstract = ABSTRACT.replace("We", "𝛼𝛽")  # of two units and four bytes each
    whole = f"{TITLE}\n{abstract}"
    entities = [
        (kind, *(len(whole[:place].encode(code)) // size for place in (start, end)), text)
        for kind, start, end, text in ENTITIES
    ]
    for split, name in (("train", "1"), ("test", "2")):
        write_corpus(tmp_path, form, split, name, entities, abstract)
    prepared = read(tmp_path, form, offsets=unit)
    assert prepared.splits["train"]["labels"] == TAGS
    second = prepared.places["offset"][2]
    assert second == len(whole[: whole.index("Breast")].encode(code)) // size
    if form != "span_lines":  # which says no text that could differ
        with pytest.raises(UserError, match=rf"they fit if counted otherwise: set datasets\.x\.offsets: {unit}$"):
            read(tmp_path, form)


def test_units_are_those_of_the_encodings() -> None:
    text = "aα𝛼b"
    for unit, code, size in (
        ("characters", "utf-32-le", 4),
        ("utf8_bytes", "utf-8", 1),
        ("utf16_units", "utf-16-le", 2),
    ):
        whole = len(text.encode(code)) // size
        assert length_in(text, unit) == whole
        begins = {len(text[:n].encode(code)) // size: n for n in range(len(text) + 1)}
        assert [character_at(text, place, unit) for place in range(-1, whole + 2)] == [
            begins.get(place) for place in range(-1, whole + 2)
        ]


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
    ("span_lines", '{"id": 1, "text": "a", "entities": []}\n' * 2, "line 2: document 1 occurs twice in train"),
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
