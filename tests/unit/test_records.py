"""Rows of a user's own whose columns are named, PubMedQA's two files, and BioASQ's yes/no questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.tasks import write

from compactbio.errors import UserError
from compactbio.kinds import KINDS
from compactbio.settings.datasets import data_faults
from compactbio.tasks.bioasq_yesno import read_dataset as read_yesno
from compactbio.tasks.prepared import parse_definition
from compactbio.tasks.pubmedqa import read_dataset as read_pubmedqa
from compactbio.tasks.records import read_dataset

TABLE: dict[str, Any] = {
    "task": "classification",
    "layout": "table",
    "folder": "texts",
    "files": {"train": "train.tsv", "test": "test.tsv"},
    "columns": {"text": "abstract", "label": "topic", "document": "pmid"},
    "labels": ["a", "b"],
}
ROWS = "pmid\tabstract\ttopic\tyear\n7\tOne text \ta\t1999\n7\tAnother\tb\t1999\n"
PUBMEDQA = {"task": "classification", "layout": "pubmedqa", "folder": "", "labels": ["yes", "no", "maybe"]}


def table(root: Path, **files: str) -> Path:
    for name in ("train", "test"):
        write(root / "texts" / f"{name}.tsv", files.get(name, ROWS))
    return root


def test_columns_are_found_by_the_names_that_the_definition_gives(tmp_path: Path) -> None:
    prepared = read_dataset(parse_definition("x", TABLE, table(tmp_path)))
    assert prepared.splits["train"] == {
        "id": [0, 1],
        "document": ["7", "7"],
        "text": ["One text", "Another"],
        "pair": ["", ""],
        "label": [0, 1],
    }
    assert prepared.counts["train"] == {"rows": 2, "labels": {"a": 1, "b": 1}, "documents": 1}


def test_a_row_without_a_document_is_its_own_and_json_has_numbers_too(tmp_path: Path) -> None:
    row = {"text": "A text", "pair": "its pair", "label": "a"}
    for name in ("train", "test"):
        lines = [row, {**row, "pair": 5}, row]
        write(tmp_path / "texts" / f"{name}.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    files = {"train": "train.jsonl", "test": "test.jsonl"}
    definition = {**TABLE, "layout": "json_lines", "files": files, "columns": {"pair": "pair"}}
    train = read_dataset(parse_definition("x", definition, tmp_path)).splits["train"]
    assert train["pair"] == ["its pair", "5", "its pair"]
    assert train["document"][0] == train["document"][2] != train["document"][1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            ROWS.replace("abstract", "text"),
            r"line 2: no column abstract .*correct it or datasets\.x\.columns",
        ),
        (ROWS + "8\t \ta\t2\n", r"line 4: abstract is ' ', a text is needed"),
        (ROWS + "8\tc\tc\t2\n", r"line 4: unknown label 'c'; known are a, b"),
        (ROWS + "8\tc\n", r"line 4: 2 cells where 4 are expected"),
        (ROWS.partition("\n")[0] + "\n", r"train\.tsv holds no row"),
        ("", r"train\.tsv is empty"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_dataset(parse_definition("x", TABLE, table(tmp_path, train=content)))


def test_a_table_without_a_line_of_names_has_columns_by_number(tmp_path: Path) -> None:
    rows = "q1\tIs it?\tOne.\ta\nq2\tWas it?\tTwo.\tb\n"
    definition = {**TABLE, "columns": {"document": "1", "text": "2", "pair": "3", "label": "4"}}
    prepared = read_dataset(parse_definition("x", definition, table(tmp_path, train=rows, test=rows)))
    assert prepared.splits["train"]["document"] == ["q1", "q2"] and prepared.splits["train"]["label"] == [0, 1]
    assert prepared.splits["test"]["pair"] == ["One.", "Two."]


def test_columns_of_a_layout_that_has_fixed_ones_are_refused() -> None:
    kind = KINDS["classification"]
    assert list(data_faults("x", kind, {**PUBMEDQA, "columns": {"text": "a"}})) == [
        "x.columns: text not known to the layout pubmedqa; its columns are fixed"
    ]
    assert "it knows text, pair, document, label" in next(data_faults("x", kind, {**TABLE, "columns": {"score": "a"}}))


def test_pubmedqa_s_test_set_is_the_official_one(tmp_path: Path) -> None:
    asked = {"QUESTION": "Is it?", "CONTEXTS": ["One.", "Two."], "LONG_ANSWER": "It is."}
    decisions = {"11": "yes", "12": "maybe", "13": "no"}
    questions = {pmid: {**asked, "final_decision": decision} for pmid, decision in decisions.items()}
    write(tmp_path / "ori_pqal.json", json.dumps(questions))
    write(tmp_path / "test_ground_truth.json", json.dumps({"13": "no"}))
    prepared = read_pubmedqa(parse_definition("x", PUBMEDQA, tmp_path))
    assert prepared.splits["train"]["document"] == ["11", "12"]
    assert prepared.splits["test"] == {
        "id": [0],
        "document": ["13"],
        "text": ["Is it?"],
        "pair": ["One. Two."],
        "label": [1],
    }
    write(tmp_path / "test_ground_truth.json", json.dumps({"13": "yes"}))
    with pytest.raises(UserError, match=r"1 answers are not those of .*the first of PMID 13"):
        read_pubmedqa(parse_definition("x", PUBMEDQA, tmp_path))
    write(tmp_path / "ori_pqal.json", json.dumps({"13": {"QUESTION": "Is it?"}}))
    with pytest.raises(UserError, match=r"ori_pqal\.json"):
        read_pubmedqa(parse_definition("x", PUBMEDQA, tmp_path))


def test_yes_no_questions_of_bioasq_have_their_snippets_once(tmp_path: Path) -> None:
    snippets = [{"text": "One."}, {"text": "Two. "}, {"text": "One."}]
    question: dict[str, Any] = {
        "id": "q1",
        "type": "yesno",
        "body": "Is it?",
        "exact_answer": "Yes",
        "snippets": snippets,
    }
    listed = {**question, "id": "q2", "exact_answer": ["no"], "snippets": []}
    names = {"train": "train.json", "test": "test.json"}
    for name in names.values():
        write(tmp_path / name, json.dumps({"questions": [question, {**question, "id": "q3", "type": "list"}, listed]}))
    definition = {**PUBMEDQA, "layout": "bioasq_yesno", "files": names, "labels": ["yes", "no"]}
    prepared = read_yesno(parse_definition("x", definition, tmp_path))
    train = {"document": ["q1", "q2"], "text": ["Is it?"] * 2, "pair": ["One. Two.", ""], "label": [0, 1]}
    assert prepared.splits["train"] == {"id": [0, 1], **train}
    counts = {"rows": 2, "labels": {"yes": 1, "no": 1}, "documents": 2, "other_questions": 1}
    assert prepared.counts["test"] == counts
    for change, message in (
        ({"exact_answer": "perhaps"}, "question q1: unknown label 'perhaps'; known are yes, no"),
        ({"body": None}, "question q1: body, or the text of a snippet, is no text"),
        ({"snippets": ["One."]}, "question q1: body, or the text of a snippet, is no text"),
        ({"type": "factoid"}, "holds no question of type yesno"),
    ):
        write(tmp_path / "test.json", json.dumps({"questions": [{**question, **change}]}))
        with pytest.raises(UserError, match=message):
            read_yesno(parse_definition("x", definition, tmp_path))
