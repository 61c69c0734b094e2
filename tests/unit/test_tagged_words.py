"""NER files: words and labels as written, entities as the scorer counts them, faults named by line."""

import random
from pathlib import Path

import pytest
from helpers.tasks import NER, write, write_ner
from seqeval.metrics.sequence_labeling import get_entities

from compactbio.errors import UserError
from compactbio.tasks.prepared import parse_definition
from compactbio.tasks.tagged_words import read_dataset, read_split

LABELS = ("O", "B", "I")


def read(path: Path, content: str | bytes, labels: tuple[str, ...] = LABELS):
    definition = parse_definition("x", {**NER, "labels": labels}, path)
    return read_split(write(path / "x.tsv", content), definition)


def test_words_labels_and_counts(tmp_path: Path) -> None:
    columns, counts = read(tmp_path, "IL-2\tB\ngene\tI\n.\tO\n\n\n\nNo\tO\n\n")
    assert columns == {"id": [0, 1], "words": [["IL-2", "gene", "."], ["No"]], "labels": [[1, 2, 0], [0]]}
    assert counts["sentences"] == 2
    assert counts["words"] == 4
    assert counts["entities"] == 1
    assert counts["blank_lines_extra"] == 2
    assert counts["labels"] == {"O": 2, "B": 1, "I": 1}


def test_windows_line_ends_byte_order_mark_and_odd_separators(tmp_path: Path) -> None:
    plain, counts = read(tmp_path, "a\u2028b\tB\nc\x85\tI\n\nd\tO")
    windows, windows_counts = read(tmp_path, "\ufeffa\u2028b\tB\r\nc\x85\tI\r\n\r\nd\tO")
    assert windows == plain
    assert windows_counts == counts
    assert plain["words"] == [["a\u2028b", "c\x85"], ["d"]]


@pytest.mark.parametrize("labels", [("O", "B", "I"), ("O", "B-x", "I-x", "B-y", "I-y")])
def test_entities_are_those_of_seqeval_and_stray_inside_labels_are_repaired(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    generator = random.Random(0)
    drawn = [[generator.choice(labels) for _ in range(generator.randint(1, 9))] for _ in range(300)]
    content = "\n".join("".join(f"w\t{label}\n" for label in sentence) for sentence in drawn)
    columns, counts = read(tmp_path, content, labels)
    repaired = [[labels[number] for number in sentence] for sentence in columns["labels"]]
    assert counts["entities"] == len(get_entities(drawn)) == len(get_entities(repaired))
    assert [get_entities(sentence) for sentence in repaired] == [get_entities(sentence) for sentence in drawn]
    changed = sum(a != b for x, y in zip(drawn, repaired, strict=True) for a, b in zip(x, y, strict=True))
    assert counts["i_after_o"] == changed > 0
    assert sum(label[0] == "B" for sentence in repaired for label in sentence) == counts["entities"]


def test_document_marks_are_skipped(tmp_path: Path) -> None:
    columns, counts = read(tmp_path, "-DOCSTART-\tO\n\na\tB\n")
    assert columns["words"] == [["a"]]
    assert counts["document_marks_skipped"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tO\nb\tX\n", r"x\.tsv, line 2: unknown label 'X'; known are O, B, I\. .*datasets\.x\.labels"),
        ("a\tO\n\nb O\n", r"line 3: expected a word, one tab and a label, found 'b O'"),
        ("a\tNN\tO\n", "line 1: expected a word, one tab"),
        ("a\t\n", "line 1: expected a word, one tab"),
        ("a\tO\n \tB\n", "line 2: a label without a word"),
        ("", r"x\.tsv is empty"),
        ("\n\n\n", r"x\.tsv is empty"),
        (b"a\tO\nna\xefve\tO\n", r"x\.tsv, line 2: byte 0xef is not UTF-8"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, content)


def test_a_missing_split_file_says_what_is_there(tmp_path: Path) -> None:
    root = write_ner(tmp_path)
    (root / "ner" / "test.tsv").unlink()
    with pytest.raises(
        UserError, match=r"test\.tsv does not exist; .* holds devel\.tsv, train\.tsv\. Correct datasets\.x\.files\.test"
    ):
        read_dataset(parse_definition("x", NER, root))


def test_the_splits_are_in_the_order_of_all_datasets(tmp_path: Path) -> None:
    prepared = read_dataset(parse_definition("x", NER, write_ner(tmp_path)))
    assert list(prepared.splits) == ["train", "validation", "test"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "nre"}, r"datasets\.x\.task is 'nre'"),
        ({"layout": "squad"}, r"datasets\.x\.layout: `squad` is not a layout of ner: bioc_json, .*tagged_words"),
        ({"labels": ["O"]}, r"datasets\.x\.labels: needed, at least two"),
        ({"labels": ["O", "B", "I-x"]}, "labels: I-x; .* each I with its B"),
        ({"labels": ["B", "I"]}, "O missing"),
        ({"files": {"train": "train.tsv"}}, r"datasets\.x\.files: missing test"),
    ],
)
def test_definitions_that_do_not_fit_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_dataset(parse_definition("x", {**NER, **change}, write_ner(tmp_path)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("IL-2\tNN\tB-NP\tB\n", "It has 4 columns: keep the word's and the label's, as with cut -f 1,4"),
        ("IL-2 B\n", "separated by a tab, not by spaces"),
        ("IL-2\tB\rgene\tI\r", r"ends its lines with CR alone.*tr '\\r' '\\n'"),
        ("IL-2\tB\n".encode("utf-16"), "iconv -f utf-16 -t utf-8"),
        ("IL-2\tB\n".encode("utf-16-le"), "NUL bytes.*iconv -f utf-16 -t utf-8"),
        ("naïve\tB\n".encode("latin1"), "iconv -f latin1 -t utf-8"),
    ],
)
def test_other_forms_of_files_are_told_apart(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, content)
