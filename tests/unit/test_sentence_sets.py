"""Sentence data sets: GAD's folds and plain files."""

from pathlib import Path

import pytest
from helpers.tasks import GAD, PLAIN, write, write_gad

from compactbio.errors import UserError
from compactbio.tasks.prepared import parse_definition
from compactbio.tasks.sentences import read_gad, read_plain


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
    assert prepared.counts["test"] == {"rows": 1, "labels": {"no": 0, "yes": 1}, "also_in_train": 1}
