"""Annotated documents: one small corpus in every form gives the same words and tags; misfits are refused or counted."""

from __future__ import annotations

import json
from pathlib import Path

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
    corpus,
    definition,
    read,
    write_corpus,
)
from helpers.tasks import write

from compactbio.errors import UserError
from compactbio.tasks.documents import character_at, place_of
from compactbio.tasks.prepare import prepare_dataset

FIRST, SECOND, THIRD, FOURTH = ENTITIES
every_form = pytest.mark.parametrize("form", FORMS)


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


def test_discontinuous_ones_are_refused_or_dropped_and_white_space_is_no_gap(tmp_path: Path) -> None:
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


def test_a_repeated_document_is_read_once(tmp_path: Path) -> None:
    corpus(tmp_path, "pubtator")
    path = tmp_path / "own" / "train.txt"
    path.write_text(path.read_text(encoding="utf-8") * 2, encoding="utf-8")
    prepared = read(tmp_path, "pubtator")
    assert prepared.splits["train"]["words"] == WORDS
    assert (prepared.counts["train"]["documents"], prepared.counts["train"]["repeated_documents"]) == (1, 1)


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
        begins = {len(text[:n].encode(code)) // size: n for n in range(len(text) + 1)}
        assert [character_at(text, place, unit) for place in range(-1, whole + 2)] == [
            begins.get(place) for place in range(-1, whole + 2)
        ]
        assert [place_of(text, character, unit) for character in range(len(text) + 1)] == list(begins)
