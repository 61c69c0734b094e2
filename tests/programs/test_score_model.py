"""score_model.py on miniature datasets of every kind: values worked out by hand, and what it refuses."""

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers.scoring import (
    NER_LABELS,
    NER_RUNS,
    class_scores,
    ner_row,
    ner_rows,
    qa_row,
    qa_rows,
    re_rows,
    run_settings,
    score,
    write_predictions,
    write_results,
    write_task,
)

from compactbio.errors import UserError
from compactbio.scoring.bioasq_files import score_files

FOUR = ("precision", "recall", "f1", "support")
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def ner(tmp_path):
    task = write_task(
        tmp_path / "tasks" / "Mini-NER",
        "Mini-NER",
        "ner",
        {"id": [0, 1], "words": [list("abc"), list("def")], "labels": [[0, 1, 2], [1, 1, 0]]},
        NER_LABELS,
    )
    settings = run_settings("tiny", "Mini-NER", "ner", NER_RUNS, labels=NER_LABELS)
    return write_results(tmp_path / "results" / "Mini-NER", settings, ner_rows()), task


def test_named_entities_under_both_protocols(monkeypatch, tmp_path, ner):
    scores = score(monkeypatch, tmp_path, [ner[0]], [ner[1]])
    found = {key[1:]: value for key, value in scores.items()}
    # seed1, words: gold 3 entities, found 2, both right.
    assert found["seed1", "standard", "entities"] == 3
    assert found["seed1", "standard", "precision"] == 1.0
    assert found["seed1", "standard", "recall"] == pytest.approx(2 / 3)
    assert found["seed1", "standard", "f1"] == pytest.approx(0.8)
    # seed1, pieces: gold O B B I + B O = 3 entities, all found.
    assert found["seed1", "reference", "entities"] == 3
    assert found["seed1", "reference", "f1"] == 1.0
    # seed2, words: none of the one found is right; pieces: O O B I has the second, O B is wrong.
    assert found["seed2", "standard", "f1"] == 0.0
    assert found["seed2", "reference", "precision"] == pytest.approx(1 / 2)
    assert found["seed2", "reference", "recall"] == pytest.approx(1 / 3)
    assert found["seed1", "standard", "seen_in_train"] == 0
    assert len(scores) == 2 * 2 * 5


def test_types_of_entities_are_scored_under_both_protocols(monkeypatch, tmp_path):
    """Against seqeval; a type that the test data lack is there with a support of 0, an untyped label is no class."""
    from seqeval.metrics import classification_report

    labels = ["O", "B-x", "I-x", "B-y", "I-y", "B-z", "I-z"]
    gold = [["B-x", "I-x", "O"], ["B-y", "B-x", "O"]]
    found = [["B-x", "I-x", "B-y"], ["B-y", "B-y", "O"]]
    ids = [[labels.index(label) for label in sentence] for sentence in gold]
    test = {"id": [0, 1], "words": [list("abc"), list("def")], "labels": ids}
    task = write_task(tmp_path / "tasks" / "Typed", "Typed", "ner", test, labels)
    rows = [
        ner_row("seed1", number, mine, theirs, theirs, [0, 1, 2])
        for number, (mine, theirs) in enumerate(zip(gold, found, strict=True))
    ]
    settings = run_settings("tiny", "Typed", "ner", NER_RUNS[:1], labels=labels)
    results = write_results(tmp_path / "results" / "Typed", settings, rows)
    score(monkeypatch, tmp_path, [results], [task])
    report = classification_report(gold, found, output_dict=True, zero_division=0)
    expected = {
        ("Typed", "seed1", protocol, name, {"f1-score": "f1"}.get(metric, metric)): value
        for protocol in ("standard", "reference")
        for name in ("x", "y")
        for metric, value in report[name].items()
    }
    absent = {("Typed", "seed1", protocol, "z", metric): 0 for protocol in ("standard", "reference") for metric in FOUR}
    assert class_scores(tmp_path) == expected | absent


def test_order_of_rows_does_not_matter(monkeypatch, tmp_path, ner):
    first = score(monkeypatch, tmp_path, [ner[0]], [ner[1]])
    table = pq.read_table(ner[0] / "predictions.parquet")
    pq.write_table(table.take([3, 1, 2, 0]), ner[0] / "predictions.parquet", row_group_size=1)
    assert score(monkeypatch, tmp_path, [ner[0]], [ner[1]]) == first


def test_pieces_beyond_the_maximal_length_do_not_count_in_the_reference_protocol(monkeypatch, tmp_path, ner):
    settings = run_settings("tiny", "Mini-NER", "ner", NER_RUNS, labels=NER_LABELS)
    settings["hyperparameters"]["max_length"] = 4  # room for two pieces: O B and B O
    (ner[0] / "run.yaml").write_text(json.dumps(settings))
    scores = score(monkeypatch, tmp_path, [ner[0]], [ner[1]])
    assert scores["Mini-NER", "seed1", "reference", "entities"] == 2
    assert scores["Mini-NER", "seed1", "standard", "entities"] == 3


RE_LABELS = ["0", "1"]


@pytest.fixture
def relations(tmp_path):
    task = write_task(
        tmp_path / "tasks" / "Mini-GAD",
        "Mini-GAD",
        "re",
        {"id": [0, 1, 0, 1], "fold": [1, 1, 2, 2], "sentence": list("abcd"), "label": [1, 0, 1, 1]},
        RE_LABELS,
    )
    runs = [{"run": f"seed1-fold{fold}", "seed": 1, "fold": fold} for fold in (1, 2)]
    settings = run_settings("tiny", "Mini-GAD", "re", runs, labels=RE_LABELS, positive_labels=["1"])
    return write_results(tmp_path / "results" / "Mini-GAD", settings, re_rows()), task


def test_relations_per_fold(monkeypatch, tmp_path, relations):
    scores = score(monkeypatch, tmp_path, [relations[0]], [relations[1]])
    assert scores == {
        ("Mini-GAD", "seed1-fold1", "standard", "precision"): 0.5,
        ("Mini-GAD", "seed1-fold1", "standard", "recall"): 1.0,
        ("Mini-GAD", "seed1-fold1", "standard", "f1"): pytest.approx(2 / 3),
        ("Mini-GAD", "seed1-fold2", "standard", "precision"): 1.0,
        ("Mini-GAD", "seed1-fold2", "standard", "recall"): 0.5,
        ("Mini-GAD", "seed1-fold2", "standard", "f1"): pytest.approx(2 / 3),
        ("Mini-GAD", "seed1-fold1", "standard", "seen_in_train"): 0,
        ("Mini-GAD", "seed1-fold2", "standard", "seen_in_train"): 0,
        # both folds as one set: 2 right of 3 found and 3 true
        ("Mini-GAD", "pooled", "standard", "pooled_precision"): pytest.approx(2 / 3),
        ("Mini-GAD", "pooled", "standard", "pooled_recall"): pytest.approx(2 / 3),
        ("Mini-GAD", "pooled", "standard", "pooled_f1"): pytest.approx(2 / 3),
    }


GOLDEN = [
    {"id": "q1", "type": "factoid", "exact_answer": [["insulin"]]},
    {"id": "q2", "type": "factoid", "exact_answer": [["leptin"]]},
    {"id": "q3", "type": "yesno", "exact_answer": "no"},
    {"id": "q4", "type": "list", "exact_answer": [["x"]]},
]


@pytest.fixture
def qa(tmp_path):
    task = write_task(
        tmp_path / "tasks" / "Mini-BioASQ",
        "Mini-BioASQ",
        "qa",
        {
            "id": ["q1_001", "q1_002", "q2_001"],
            "question_id": ["q1", "q1", "q2"],
            "snippet": [0, 1, 0],
            "question": ["which?"] * 3,
            "context": ["some context"] * 3,
            "answers": [{"text": [], "answer_start": []}] * 3,
        },
        [],
    )
    golden = [
        {"question_id": entry["id"], "answers": entry["exact_answer"]} for entry in GOLDEN if entry["type"] == "factoid"
    ]
    (task / "golden.json").write_text(json.dumps(golden))
    (task / "golden_bioasq.json").write_text(json.dumps({"questions": GOLDEN}))
    settings = run_settings("tiny", "Mini-BioASQ", "qa", [NER_RUNS[0]])
    return write_results(tmp_path / "results" / "Mini-BioASQ", settings, qa_rows()), task


def test_answers_under_both_protocols_and_their_submission_files(monkeypatch, tmp_path, qa):
    scores = score(monkeypatch, tmp_path, [qa[0]], [qa[1]])
    found = {key[2:]: value for key, value in scores.items()}
    # standard: q1 [Insulin, glucagon] rank 1, q2 [leptin] rank 1
    assert [found["standard", name] for name in ("strict", "lenient", "mrr")] == [1.0, 1.0, 1.0]
    # reference: q1 [[glucagon, insulin], [Insulin]] rank 2, q2 wrong
    assert [found["reference", name] for name in ("strict", "lenient", "mrr")] == [0.0, 0.5, 0.25]
    for protocol, mrr in (("standard", 1.0), ("reference", 0.25)):
        submission = qa[0] / f"bioasq_seed1_{protocol}.json"
        assert score_files(qa[1] / "golden_bioasq.json", submission)["mrr"] == mrr
    written = json.loads((qa[0] / "bioasq_seed1_reference.json").read_text())["questions"]
    assert written[0] == {"id": "q1", "exact_answer": [["glucagon", "insulin"], ["Insulin"]]}
    assert [entry["id"] for entry in written] == ["q1", "q2", "q3", "q4"]


def test_data_of_one_s_own_have_no_submission_file(monkeypatch, tmp_path, qa):
    (qa[1] / "golden_bioasq.json").unlink()
    score(monkeypatch, tmp_path, [qa[0]], [qa[1]])
    assert not list(qa[0].glob("bioasq_*"))


def test_several_datasets_in_one_table(monkeypatch, tmp_path, ner, relations, qa):
    scores = score(monkeypatch, tmp_path, [ner[0], relations[0], qa[0]], [ner[1], relations[1], qa[1]])
    assert {key[0] for key in scores} == {"Mini-NER", "Mini-GAD", "Mini-BioASQ"}


def headline_of_units(task, rows):
    """The headline metric of units written out plainly, in the order of operations of its scorer."""
    if task == "qa":
        total = 0.0
        for row in rows:
            total += row["reciprocal_rank"]
        return total / len(rows)
    correct, predicted, gold = (sum(row[name] for row in rows) for name in ("correct", "predicted", "gold"))
    if task == "re":
        return 2 * correct / (predicted + gold)
    precision, recall = correct / predicted if predicted else 0.0, correct / gold
    return 2.0 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_units_add_up_to_the_headline_metric_exactly(monkeypatch, tmp_path, ner, relations, qa):
    scores = score(monkeypatch, tmp_path, [ner[0], relations[0], qa[0]], [ner[1], relations[1], qa[1]])
    rows = pq.read_table(tmp_path / "units.parquet").to_pylist()
    groups = {}
    for row in rows:
        groups.setdefault((row["task"], row["dataset"], row["run"], row["protocol"]), []).append(row)
    assert len(groups) == 2 * 2 + 2 + 2  # two runs of entities, two folds of relations, one run of answers
    for (task, *place), group in groups.items():
        metric = "mrr" if task == "qa" else "f1"
        assert headline_of_units(task, group) == scores[(*place, metric)]
    for name in ("strict", "lenient"):
        answers = groups["qa", "Mini-BioASQ", "seed1", "reference"]
        assert sum(row[name] for row in answers) / 2 == scores["Mini-BioASQ", "seed1", "reference", name]
    first = groups["ner", "Mini-NER", "seed1", "standard"]
    columns = [[row[name] for row in first] for name in ("example", "correct", "predicted", "gold")]
    assert columns == [["0", "1"], [1, 1], [1, 1], [1, 2]]
    assert {(row["run"], row["fold"]) for row in rows if row["task"] == "re"} == {(f"seed1-fold{n}", n) for n in (1, 2)}
    assert {row["model"] for row in rows} == {"tiny"}


def replaced(rows, number, **values):
    return [{**row, **values} if index == number else row for index, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ner_rows()[:3], "seed2: 1 of 2 test sentences have no prediction, the first is id 1"),
        (ner_rows()[:2], "has no predictions of run seed2"),
        ([*ner_rows(), ner_row("seed3", 0, "OBI", "OBI", "OBBI", [0, 1, 1, 2])], "holds run seed3"),
        ([*ner_rows(), ner_rows()[3]], "sentence 1 is predicted twice"),
        ([*ner_rows(), ner_row("seed2", 9, "O", "O", "O", [0])], "not in the test data, the first is id 9"),
        (replaced(ner_rows(), 1, gold=list("BIO")), "gold labels of 1 words .* in sentence 1"),
        (replaced(ner_rows(), 1, predicted=list("BO")), "sentence 1 has 2 labels for 3 words"),
        (replaced(ner_rows(), 1, predicted=["B", "X", "O"]), "label 'X' is not among the labels"),
        (replaced(ner_rows(), 1, piece_words=[0, 3]), "piece_words names words"),
        (replaced(ner_rows(), 1, piece_predicted=["B"]), "sentence 1 has 1 labels for 2 pieces"),
        (replaced(ner_rows(), 2, score=[0.5, float("nan"), 0.5]), "column score of run seed2 has NaN"),
        (replaced(ner_rows(), 2, predicted=None), "column predicted of run seed2 has 1 empty"),
    ],
)
def test_unsound_predictions_of_words_are_refused(monkeypatch, tmp_path, ner, rows, message):
    write_predictions(ner[0], "ner", rows)
    with pytest.raises(UserError, match=message):
        score(monkeypatch, tmp_path, [ner[0]], [ner[1]])
    assert not (tmp_path / "scores.tsv").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (qa_rows()[:4], "at most 30 tokens: 3 of 3 test snippets have no prediction"),
        (qa_rows()[:2] + qa_rows()[3:], "the first is snippet 1 of question q1"),
        ([*qa_rows(), qa_row("seed1", "q9", 0, 15, 1, "x", 0.0)], "snippet 0 of question q9 is not in the test"),
        (replaced(qa_rows(), 5, score=float("nan")), "column score of run seed1 has NaN"),
    ],
)
def test_unsound_answers_are_refused(monkeypatch, tmp_path, qa, rows, message):
    write_predictions(qa[0], "qa", rows)
    with pytest.raises(UserError, match=message):
        score(monkeypatch, tmp_path, [qa[0]], [qa[1]])


def test_folders_in_different_orders_are_noticed(monkeypatch, tmp_path, ner, qa):
    with pytest.raises(UserError, match="in the same order"):
        score(monkeypatch, tmp_path, [ner[0], qa[0]], [qa[1], ner[1]])
    with pytest.raises(UserError, match="--results names 2 folders, --tasks 1"):
        score(monkeypatch, tmp_path, [ner[0], qa[0]], [qa[1]])


def test_another_model_s_results_are_noticed(monkeypatch, tmp_path, ner):
    with pytest.raises(UserError, match="is of model tiny, not of large"):
        score(monkeypatch, tmp_path, [ner[0]], [ner[1]], model="large")


def test_missing_and_broken_files(monkeypatch, tmp_path, ner):
    predictions = ner[0] / "predictions.parquet"
    predictions.write_bytes(b"not parquet")
    with pytest.raises(UserError, match=r"predictions\.parquet is damaged"):
        score(monkeypatch, tmp_path, [ner[0]], [ner[1]])
    predictions.unlink()
    with pytest.raises(UserError, match="does not exist: finetune_model"):
        score(monkeypatch, tmp_path, [ner[0]], [ner[1]])
    (ner[0] / "run.yaml").unlink()
    with pytest.raises(UserError, match=r"run\.yaml does not exist"):
        score(monkeypatch, tmp_path, [ner[0]], [ner[1]])


def test_help_is_quick_and_needs_no_heavy_import():
    import subprocess

    done = subprocess.run(
        [sys.executable, "-X", "importtime", SCRIPTS / "score_model.py", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--results" in done.stdout
    assert not {"numpy", "pyarrow", "sklearn", "torch"} & {
        line.rpartition("|")[2].strip() for line in done.stderr.splitlines()
    }
