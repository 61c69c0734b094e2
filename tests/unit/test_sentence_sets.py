"""Sentence data sets: GAD's folds, plain files and JSON lines."""

from pathlib import Path

import pytest
from helpers.tasks import GAD, JSON_LINES, PLAIN, write, write_gad, write_json_lines

from compactbio.errors import UserError
from compactbio.tasks.prepared import parse_definition
from compactbio.tasks.sentences import read_gad, read_json_lines, read_plain


def test_folds_are_told_apart_and_quotation_marks_stay(tmp_path: Path) -> None:
    prepared = read_gad(parse_definition("x", GAD, write_gad(tmp_path)))
    train, test = prepared.splits["train"], prepared.splits["test"]
    assert train["fold"] == [1, 1, 1, 2, 2, 2]
    assert train["id"] == [0, 1, 2, 0, 1, 2]
    assert train["sentence"][3] == '@GENE$ causes "@DISEASE$" 20'
    assert train["label"] == [0, 1, 0, 0, 1, 0]
    assert test["sentence"][:2] == ["no @GENE$ 1", "@DISEASE$ by @GENE$ 1"]
    assert prepared.counts["test"]["rows_by_fold"] == {"1": 2, "2": 2}
    assert prepared.counts["train"]["labels"] == {"0": 4, "1": 2}


def test_only_the_chosen_folds_are_read(tmp_path: Path) -> None:
    prepared = read_gad(parse_definition("x", {**GAD, "folds": [2]}, write_gad(tmp_path)))
    assert set(prepared.splits["test"]["fold"]) == {2}
    assert len(prepared.inputs) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test.tsv", "0\tsentence\t1\n", r"1/test\.tsv must begin with the header index, sentence, label"),
        ("test.tsv", "index\tsentence\tlabel\n7\ta\t1\n7\tb\t1\n", "line 3: index 7 stands already on line 2"),
        ("train.tsv", "a\t1\n\t0\n", r"line 2: the sentence is empty"),
        ("train.tsv", "a\t1\nb\t2\n", r"line 2: unknown label '2'; known are 0, 1"),
        ("train.tsv", "a 1\n", r"line 1: 1 cells where 2 are expected \(sentence and label"),
        ("train.tsv", "", r"train\.tsv is empty"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    root = write_gad(tmp_path)
    write(root / "gad" / "1" / name, content)
    with pytest.raises(UserError, match=message):
        read_gad(parse_definition("x", GAD, root))


def test_a_missing_fold_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"3/train\.tsv does not exist"):
        read_gad(parse_definition("x", {**GAD, "folds": [3]}, write_gad(tmp_path)))


def test_plain_files_may_have_an_index(tmp_path: Path) -> None:
    write(tmp_path / "plain" / "train.tsv", "index\tsentence\tlabel\nD1.p0\tIt works.\tyes\nD1.p1\tIt does not.\tno\n")
    write(tmp_path / "plain" / "test.tsv", "D2.p0\tIt works.\tyes\n")
    prepared = read_plain(parse_definition("x", PLAIN, tmp_path))
    assert prepared.splits["train"]["sentence"] == ["It works.", "It does not."]
    assert prepared.splits["test"]["label"] == prepared.splits["train"]["label"][:1]


def test_plain_files_with_and_without_header(tmp_path: Path) -> None:
    write(tmp_path / "plain" / "train.tsv", "sentence\tlabel\r\nIt works.\tyes\r\nIt does not.\tno\r\n")
    write(tmp_path / "plain" / "test.tsv", "It works.\tyes\n")
    prepared = read_plain(parse_definition("x", PLAIN, tmp_path))
    assert prepared.splits["train"] == {
        "id": [0, 1],
        "fold": [0, 0],
        "sentence": ["It works.", "It does not."],
        "label": [1, 0],
    }
    assert prepared.counts["test"] == {"rows": 1, "labels": {"no": 0, "yes": 1}}


def test_json_lines_keep_the_markers_and_the_configured_order_of_labels(tmp_path: Path) -> None:
    prepared = read_json_lines(parse_definition("x", JSON_LINES, write_json_lines(tmp_path)))
    assert prepared.splits["train"] == {
        "id": [0, 1, 2],
        "fold": [0, 0, 0],
        "sentence": ["<< A >> blocks [[ B ]].", "[[ B ]] é << C >>", "x"],
        "label": [1, 2, 0],
    }
    assert list(prepared.splits) == ["train", "validation", "test"]
    assert prepared.counts["test"] == {
        "rows": 1,
        "labels": {"AGONIST": 1, "ANTAGONIST": 0, "SUBSTRATE": 0},
    }


def test_json_lines_may_have_windows_line_ends_blank_lines_and_separators_in_texts(tmp_path: Path) -> None:
    text = '{"label": "AGONIST", "text": "a\u2028\\tb"}\r\n\r\n{"label": "SUBSTRATE", "text": " c "}'
    prepared = read_json_lines(parse_definition("x", JSON_LINES, write_json_lines(tmp_path, train=text)))
    assert prepared.splits["train"]["sentence"] == ["a\u2028\tb", "c"]
    assert prepared.splits["train"]["label"] == [0, 2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("<< A >>\tAGONIST", r"line 2: not JSON \(Expecting value.*one object with text and label a line is expected"),
        ('{"text": "a", "label": "AGONIST"', "line 2: not JSON"),
        ('["a", "AGONIST"]', "line 2: list where an object stands"),
        ('{"text": "a"}', "line 2: no label that is a string"),
        ('{"text": "a", "label": 3}', "line 2: no label that is a string"),
        ('{"sentence": "a", "label": "AGONIST"}', "line 2: no text that is a string"),
        ('{"text": " ", "label": "AGONIST"}', "line 2: the sentence is empty"),
        (
            '{"text": "a", "label": "agonist"}',
            r"line 2: unknown label 'agonist'; known are AGONIST, ANTAGONIST, SUBSTRATE\. .* datasets\.x\.labels",
        ),
    ],
)
def test_a_faulty_line_of_json_lines_is_named(tmp_path: Path, line: str, message: str) -> None:
    root = write_json_lines(tmp_path, dev=f'{{"text": "b", "label": "AGONIST"}}\n{line}\n')
    with pytest.raises(UserError, match=rf"json/dev\.txt, {message}"):
        read_json_lines(parse_definition("x", JSON_LINES, root))


def test_an_empty_file_of_json_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"json/test\.txt is empty"):
        read_json_lines(parse_definition("x", JSON_LINES, write_json_lines(tmp_path, test="\n")))
