"""BioASQ's measures, each rule by an example worked out by hand, and its files."""

import json

import pytest

from compactbio.errors import UserError
from compactbio.scoring.bioasq import rank_of_answer, score_factoids
from compactbio.scoring.bioasq_files import read_questions, score_files, write_submission


@pytest.mark.parametrize(
    ("golden", "submitted", "rank"),
    [
        ([["Insulin"]], [["INSULIN"]], 1),  # equality after lower-casing
        ([["insulin"]], [["insulin "]], None),  # no trimming
        ([["a", "b"], ["c"]], [["x"], ["c"]], 2),  # any string of any golden list
        ([["a"]], [["x", "a"]], None),  # of a submitted list only the first string
        ([["a"]], [[], ["a"]], 1),  # an empty list takes no rank
        ([["a"]], [["x"], ["x"], ["a"]], 3),  # a repeated answer takes one
        ([["a"]], [["x"]] * 7 + [["a"]], 8),  # no cut at five
        ([["a"]], [], None),
        ([], [["a"]], None),
    ],
)
def test_rank_of_answer(golden, submitted, rank):
    assert rank_of_answer(golden, submitted) == rank


def test_every_golden_question_counts():
    golden = {"one": [["a"]], "two": [["b"]], "three": [["c"]], "four": [["d"]]}
    submitted = {"one": [["a"]], "two": [["x"], ["b"]], "three": [["x"]], "elsewhere": [["d"]]}
    scores = score_factoids(golden, submitted)
    assert scores == {"strict": 0.25, "lenient": 0.5, "mrr": 0.375}


def test_no_question_scores_zero():
    assert score_factoids({}, {}) == {"strict": 0.0, "lenient": 0.0, "mrr": 0.0}


def write(path, *questions):
    path.write_text(json.dumps({"questions": questions}), encoding="utf-8")
    return path


GOLDEN = (
    {"id": "f", "type": "factoid", "exact_answer": [["a"]]},
    {"id": "y", "type": "yesno", "exact_answer": "yes"},
    {"id": "l", "type": "list", "exact_answer": [["p"], ["q"]]},
    {"id": "s", "type": "summary"},
)


@pytest.mark.parametrize("protocol_lists", [{"f": [["x", "a"], ["a"]]}, {}])
def test_a_submission_answers_every_question_and_gives_nothing_away(tmp_path, protocol_lists):
    golden = write(tmp_path / "golden.json", *GOLDEN)
    write_submission(tmp_path / "submission.json", golden, protocol_lists)
    written = json.loads((tmp_path / "submission.json").read_text())
    assert written == {
        "questions": [
            {"id": "f", "exact_answer": protocol_lists.get("f", [])},
            {"id": "y", "exact_answer": "yes"},
            {"id": "l", "exact_answer": []},
            {"id": "s", "exact_answer": []},
        ]
    }
    scores = score_files(golden, tmp_path / "submission.json")
    assert scores["mrr"] == (0.5 if protocol_lists else 0.0)


def response(f=(("a",),), y="no", listed=()):
    return [
        {"id": "f", "exact_answer": f},
        {"id": "y", "exact_answer": y},
        {"id": "l", "exact_answer": listed},
    ]


def test_a_missing_summary_and_an_unknown_question_do_not_matter(tmp_path):
    golden = write(tmp_path / "golden.json", *GOLDEN)
    given = write(tmp_path / "response.json", *response(), {"id": "unknown", "exact_answer": [["a"]]})
    assert score_files(golden, given)["strict"] == 1.0


def test_a_factoid_question_answered_in_text_is_wrong_but_read(tmp_path):
    golden = write(tmp_path / "golden.json", *GOLDEN)
    assert score_files(golden, write(tmp_path / "response.json", *response(f="a")))["strict"] == 0.0


def test_of_a_repeated_question_the_first_counts(tmp_path):
    golden = write(tmp_path / "golden.json", *GOLDEN)
    given = write(tmp_path / "response.json", *response(), {"id": "f", "exact_answer": [["x"]]})
    assert score_files(golden, given)["strict"] == 1.0


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        (response()[1:], "lacks 1 of the 3 .* the first is f"),
        (response()[:2], "the first is l"),
        (response(f=["a"]), 'question f: exact_answer holds "a" where a list is expected'),
        (response(f=[["a"], "b"]), 'holds "b"'),
        (response(f=None), "exact_answer is null"),
        (response(f=7), "exact_answer is 7"),
        (response(f=[["a", None]]), "an answer is null"),
        (response(f=[["a", ["b"]]]), 'an answer is \\["b"\\]'),
        (response(y=[["yes"]]), "question y is a yes/no question, but its exact_answer is a list"),
        ([{"exact_answer": []}], "question 1 has no id"),
    ],
)
def test_what_crashes_the_official_scorer_is_refused(tmp_path, questions, message):
    golden = write(tmp_path / "golden.json", *GOLDEN)
    with pytest.raises(UserError, match=message):
        score_files(golden, write(tmp_path / "response.json", *questions))


def test_the_ninth_edition_leaves_out_questions_without_response(tmp_path):
    second = {"id": "g", "type": "factoid", "exact_answer": [["b"]]}
    golden = write(tmp_path / "golden.json", *GOLDEN, second)
    given = write(tmp_path / "response.json", *response())
    assert score_files(golden, given, edition=9)["questions"] == 1
    with pytest.raises(UserError, match="the first is g"):
        score_files(golden, given, edition=8)


def test_a_number_inside_a_list_is_text(tmp_path):
    golden = write(tmp_path / "golden.json", {"id": "f", "type": "factoid", "exact_answer": [[5]]})
    given = write(tmp_path / "response.json", {"id": "f", "exact_answer": [["5"]]})
    assert score_files(golden, given)["strict"] == 1.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("{", "is not JSON"),
        ("[]", "no list of questions"),
        ('{"questions": {}}', "no list of questions"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, content, message):
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_questions(path)


def test_a_golden_file_without_factoid_questions_is_refused(tmp_path):
    golden = write(tmp_path / "golden.json", *GOLDEN[1:])
    with pytest.raises(UserError, match="no question of type factoid"):
        score_files(golden, write(tmp_path / "response.json", *response()))


def test_a_golden_answer_of_empty_lists_is_none_in_the_ninth_edition(tmp_path):
    golden = write(tmp_path / "golden.json", *GOLDEN, {"id": "g", "type": "factoid", "exact_answer": [[]]})
    given = write(tmp_path / "response.json", *response(), {"id": "g", "exact_answer": [["a"]]})
    assert score_files(golden, given, edition=9)["questions"] == 1
    assert score_files(golden, given, edition=5)["questions"] == 2
