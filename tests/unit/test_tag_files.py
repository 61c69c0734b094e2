"""Tagged words in other schemes than BIO, with other separators and more columns: read as stated, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.tasks import NER, write

from compactbio.errors import UserError
from compactbio.files import read_json
from compactbio.kinds import KINDS
from compactbio.settings.datasets import data_faults
from compactbio.tasks.prepare import prepare_dataset
from compactbio.tasks.prepared import parse_definition
from compactbio.tasks.tagged_words import read_dataset, read_split

TYPED = ["O", "B-x", "I-x", "B-y", "I-y"]
# By hand: "a b" and "c" of x, "d" of y, "e" of x and "f" of x behind it.
WORDS = "abc.def."
TAGS = {
    "bio": "B-x I-x B-x O B-y B-x B-x O",
    "iob1": "I-x I-x B-x O I-y I-x B-x O",
    "bioes": "B-x E-x S-x O S-y S-x S-x O",
    "bilou": "B-x L-x U-x O U-y U-x U-x O",
    "io": "I-x I-x I-x O y I-x x O",
}
STORED = [1, 2, 1, 0, 3, 1, 1, 0]


def read(path: Path, content: str, **changes: Any):
    definition = parse_definition("x", {**NER, "labels": TYPED, **changes}, path)
    return read_split(write(path / "x.tsv", content), definition)


def lines(tags: str, between: str = "\t") -> str:
    return "".join(f"{word}{between}{tag}\n" for word, tag in zip(WORDS, tags.split(), strict=False))


@pytest.mark.parametrize("scheme", TAGS)
def test_every_scheme_is_stored_as_bio_and_changes_are_counted(tmp_path: Path, scheme: str) -> None:
    columns, counts = read(tmp_path, lines(TAGS[scheme]), scheme=scheme)
    merged = scheme == "io"  # which cannot say where the second of two adjacent entities begins
    assert columns["labels"] == [[1, 2, 2, 0, 3, 1, 2, 0] if merged else STORED]
    assert counts["entities"] == (3 if merged else 5)
    changed = sum(a != b for a, b in zip(TAGS[scheme].split(), (TYPED[n] for n in columns["labels"][0]), strict=True))
    assert counts.get("tags_changed", 0) == changed
    assert counts.get("illegal_tags", 0) == counts.get("i_after_o", 0) == 0


@pytest.mark.parametrize(
    ("scheme", "tags", "illegal", "first", "labels"),
    [
        ("bio", "I-x I-x I-y O", 2, "line 1: I-x", [1, 2, 3, 0]),
        ("iob1", "O B-x I-x O", 1, "line 2: B-x", [0, 1, 2, 0]),
        ("bioes", "B-x O E-x S-x", 2, "line 1: B-x", [1, 0, 1, 1]),
        ("bioes", "B-x I-x O O", 1, "line 2: I-x", [1, 2, 0, 0]),
        ("bilou", "L-x U-x I-x O", 2, "line 1: L-x", [1, 1, 1, 0]),
    ],
)
def test_illegal_tags_are_read_by_the_conll_rule_counted_and_the_first_is_named(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    scheme: str,
    tags: str,
    illegal: int,
    first: str,
    labels: list[int],
) -> None:
    for name in NER["files"].values():
        write(tmp_path / "ner" / name, lines(tags))
    manifest = prepare_dataset("x", {**NER, "labels": TYPED, "scheme": scheme}, tmp_path, tmp_path / "out")
    name = "i_after_o" if scheme == "bio" else "illegal_tags"
    assert manifest["counts"]["train"][name] == illegal
    places = {"train": f"train.tsv, {first}", "validation": f"devel.tsv, {first}", "test": f"test.tsv, {first}"}
    assert manifest["scheme"] == {"read": scheme, "stored": "bio", "first_illegal": places}
    assert (
        f"{illegal} tags are not legal in the scheme {scheme}" in caplog.text and f"train.tsv, {first}" in caplog.text
    )
    assert read(tmp_path, lines(tags), scheme=scheme)[0]["labels"] == [labels]


@pytest.mark.parametrize(
    ("scheme", "tags", "message"),
    [
        (None, "O S-x", r"x\.tsv, line 2: 'S-x' is no tag of the scheme bio: set datasets\.x\.scheme .*\(bioes\), or"),
        ("bio", "O E-x", r"\(bioes\)"),
        ("bioes", "U-x", r"scheme bioes: .*\(bilou\)"),
        ("io", "I-x B-x", r"line 2: 'B-x' is no tag of the scheme io: .*\(bio or iob1 or bioes or bilou\)"),
        ("bio", "O x", r"line 2: unknown label 'x'; known are O, B-x"),
        ("io", "z", r"line 1: unknown label 'B-z'; .*Correct the file or datasets\.x\.labels, or choose types"),
    ],
)
def test_tags_of_another_scheme_are_refused_with_the_cure(tmp_path, scheme, tags, message) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, lines(tags), scheme=scheme)


CONLL = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-x\nrejects  VBZ\tI-VP O\n\n-DOCSTART-\n\nPeter NNP I-NP I-y\n"


def test_columns_are_chosen_by_number_and_blanks_may_part_them(tmp_path: Path) -> None:
    form = {"scheme": "iob1", "separator": "blank", "columns": {"word": 1, "tag": 4}}
    columns, counts = read(tmp_path, CONLL, **form)
    assert columns["words"] == [["EU", "rejects"], ["Peter"]]
    assert columns["labels"] == [[1, 0], [3]]
    assert counts["document_marks_skipped"] == 2
    tabs, _ = read(tmp_path, "1\ta b\tNN\tB-x\n", columns={"word": 2, "tag": 4})
    assert tabs["words"] == [["a b"]] and tabs["labels"] == [[1]]
    assert read(tmp_path, "###MEDLINE:95369245\n\na\tB-x\n")[1]["document_marks_skipped"] == 1


def test_a_document_mark_ends_a_sentence(tmp_path: Path) -> None:
    assert read(tmp_path, "a\tB-x\n-DOCSTART-\tO\nb\tI-x\n")[0]["labels"] == [[1], [1]]


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        ("a b O\n", {"separator": "blank"}, r"expected a word, blanks and a label, .*columns: \{word: 1, tag: 3\}"),
        ("a O\nb\n", {"separator": "blank"}, r"line 2: expected .* Correct the line, or datasets\.x\.separator"),
        ("a\tb\tO\n", {}, r"cut -f 1,3, or say datasets\.x\.columns: \{word: 1, tag: 3\}"),
        ("a O\n", {}, r"by a tab, not by spaces, unless datasets\.x\.separator is blank"),
        ("a\tO\n", {"columns": {"tag": 3}}, r"the word in column 1, the label in 3, .* It has 2 columns: .*x\.columns"),
    ],
)
def test_lines_of_another_form_are_refused(tmp_path: Path, content: str, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, content, **changes)


def test_types_are_chosen_and_a_label_without_a_type_takes_them_together(tmp_path: Path) -> None:
    content = lines(TAGS["bioes"])
    columns, counts = read(tmp_path, content, scheme="bioes", types=["y"])
    assert columns["labels"] == [[0, 0, 0, 0, 3, 0, 0, 0]]
    assert (counts["entities"], counts["entities_of_other_types"]) == (1, 4)
    columns, counts = read(tmp_path, content, scheme="bioes", types=["x", "y"], labels=["O", "B", "I"])
    assert columns["labels"] == [[1, 2, 1, 0, 1, 1, 1, 0]]
    assert "entities_of_other_types" not in counts
    for name in NER["files"].values():
        write(tmp_path / "ner" / name, content)
    wrong = {**NER, "labels": ["O", "B", "I"], "types": ["x", "z"], "scheme": "bioes"}
    with pytest.raises(UserError, match=r"no file of datasets\.x has an entity of type 'z'; they have 'x', 'y'"):
        read_dataset(parse_definition("x", wrong, tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"types": ["z"]}, "x.types: z without a label: add B-z, I-z"),
        ({"misfits": {"overlapping": "refuse"}}, "x.misfits: not known to the layout tagged_words; leave it out"),
        ({"layout": "brat", "scheme": "io"}, "x.scheme: not known to the layout brat"),
        ({"columns": {"text": "a"}}, "x.columns: text not known to the layout tagged_words; it knows word, tag"),
    ],
)
def test_keys_of_another_layout_are_refused(change: dict[str, Any], message: str) -> None:
    assert next(data_faults("x", KINDS["ner"], {**NER, "labels": TYPED, **change})).startswith(message)


def test_a_plain_dataset_says_nothing_of_schemes(tmp_path: Path) -> None:
    """What is prepared of files that need none of these keys is what it was, to the byte of its manifest."""
    for name in NER["files"].values():
        write(tmp_path / "ner" / name, "a\tI\nb\tO\n")
    manifest = prepare_dataset("x", NER, tmp_path, tmp_path / "out")
    names = ["sentences", "words", "entities", "i_after_o", "blank_lines_extra", "labels"]
    assert list(manifest["counts"]["train"]) == names
    assert "scheme" not in manifest and "scheme" not in read_json(tmp_path / "out" / "manifest.json")
