"""Question answering files: rows, golden answers, and faults that would spoil a score silently."""

import json
from pathlib import Path

import pytest
from helpers.tasks import BIOASQ, SQUAD, squad_json, write, write_bioasq

from compactbio.errors import UserError
from compactbio.tasks.prepared import parse_definition
from compactbio.tasks.rows import GOLDEN_COPY
from compactbio.tasks.squad import read_bioasq, read_squad


def bioasq(root: Path):
    return read_bioasq(parse_definition("x", BIOASQ, root))


def test_snippets_are_numbered_within_their_question(tmp_path: Path) -> None:
    prepared = bioasq(write_bioasq(tmp_path))
    assert prepared.splits["train"]["question_id"] == ["aa_1", "aa_1", "bb"]
    assert prepared.splits["test"]["id"] == ["cc_001", "dd_001", "cc_002"]
    assert prepared.splits["test"]["snippet"] == [0, 0, 1]
    assert prepared.splits["train"]["answers"][2] == {"text": ["aspirin"], "answer_start": [11]}
    assert prepared.splits["test"]["answers"][0] == {"text": [], "answer_start": []}


def test_golden_answers_and_counts(tmp_path: Path) -> None:
    prepared = bioasq(write_bioasq(tmp_path))
    assert prepared.golden == [
        {"question_id": "cc", "answers": [["enzyme", "catalyst"]]},
        {"question_id": "dd", "answers": [["water"], ["ice"]]},
        {"question_id": "ee", "answers": [["one", "uno"]]},
    ]
    assert prepared.counts["golden"] == {
        "questions": 4,
        "factoid": 3,
        "yesno": 1,
        "factoid_without_snippet": 1,
        "answer_in_context": 1,
    }
    assert prepared.counts["train"]["rows"] == 3
    assert prepared.counts["train"]["questions"] == 2
    assert prepared.copies == {GOLDEN_COPY: tmp_path / "qa" / "golden.json"}


def test_offsets_that_do_not_match_are_counted_and_shown(tmp_path: Path) -> None:
    root = write_bioasq(tmp_path)
    rows = [("a_1", "Q?", "It is TP53.", [("TP53", 5)]), ("a_2", "Q?", "TP53.", [("TP53", -5)])]
    write(root / "qa" / "train.json", squad_json(rows))
    with pytest.raises(UserError, match=r"train\.json: 2 answers do not stand .* id a_1: 'TP53' at 5, .*' TP5'"):
        bioasq(root)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a_1", "Q?", "C", []), ("a_1", "Q?", "D", [])], r"test\.json: id a_1 occurs twice"),
        ([("a1", "Q?", "C", [])], r"id 'a1' is not <question>_<number>"),
        ([("cc_1", "Q?", " ", [])], r"row 1 \(id 'cc_1'\): .* must be texts, not empty"),
        ([("zz_1", "Q?", "C", [])], r"asks 1 questions that are no factoid questions of .*golden\.json, .* zz"),
        ([("yy_1", "Q?", "C", [])], "no factoid questions"),
        ([], r"test\.json holds no question"),
    ],
)
def test_faults_of_a_test_file(tmp_path: Path, rows: list, message: str) -> None:
    root = write_bioasq(tmp_path)
    write(root / "qa" / "test.json", squad_json(rows))
    with pytest.raises(UserError, match=message):
        bioasq(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("{", "is not JSON"),
        ("[]", "is not a BioASQ file of questions"),
        (json.dumps({"questions": [{"type": "factoid"}]}), "question 1: id or type is missing"),
        (json.dumps({"questions": [{"id": "a", "type": "yesno"}] * 2}), "question 2: id a occurs twice"),
        (json.dumps({"questions": [{"id": "cc", "type": "factoid"}]}), "cc has no exact_answer"),
    ],
)
def test_faults_of_a_golden_file(tmp_path: Path, content: str, message: str) -> None:
    root = write_bioasq(tmp_path)
    write(root / "qa" / "golden.json", content)
    with pytest.raises(UserError, match=message):
        bioasq(root)


def test_another_form_is_named(tmp_path: Path) -> None:
    root = write_bioasq(tmp_path)
    write(root / "qa" / "train.json", json.dumps({"data": [{"paragraphs": [{"context": "c"}]}]}))
    with pytest.raises(UserError, match=r"train\.json is not in SQuAD's form: .* row 1: KeyError\('qas'\)"):
        bioasq(root)


def test_a_set_of_ones_own_takes_its_golden_answers_from_the_test_file(tmp_path: Path) -> None:
    train = [("q_1", "Q?", "It is so.", [("so", 6)]), ("q_2", "Q?", "Nothing.", [])]
    test = [("q_3", "R?", "Yes, yes.", [("Yes", 0), ("yes", 5), ("Yes", 0)])]
    write(tmp_path / "qa" / "train.json", squad_json(train))
    write(tmp_path / "qa" / "test.json", squad_json(test))
    prepared = read_squad(parse_definition("x", SQUAD, tmp_path))
    assert prepared.splits["train"]["question_id"] == ["q_1"]
    assert prepared.counts["train"]["rows_without_answer"] == 1
    assert prepared.golden == [{"question_id": "q_3", "answers": [["Yes", "yes"]]}]
    assert prepared.counts["golden"] == {"questions": 1, "factoid": 1, "answer_in_context": 1}
    write(tmp_path / "qa" / "test.json", squad_json([("q_3", "R?", "Yes.", [])]))
    with pytest.raises(UserError, match=r"test\.json: 1 questions have no answer, for example id q_3"):
        read_squad(parse_definition("x", SQUAD, tmp_path))
