"""score_model.py where test data also stand in train: they are counted, and scores are given without them too."""

import json

import pytest
from helpers.scoring import (
    NER_LABELS,
    NER_RUNS,
    ner_rows,
    qa_rows,
    re_rows,
    run_settings,
    score,
    write_results,
    write_task,
)


def test_sentences_that_stand_in_train_are_counted_and_left_out(monkeypatch, tmp_path):
    rows = {"id": [0, 1], "words": [list("abc"), list("def")], "labels": [[0, 1, 2], [1, 1, 0]]}
    train = {"id": [0, 1], "words": [list("def"), list("ab")], "labels": [[0, 0, 0], [0, 1]]}
    task = write_task(tmp_path / "tasks" / "Mini-NER", "Mini-NER", "ner", rows, NER_LABELS, train)
    settings = run_settings("tiny", "Mini-NER", "ner", NER_RUNS, labels=NER_LABELS)
    results = write_results(tmp_path / "results" / "Mini-NER", settings, ner_rows())
    found = {key[1:]: value for key, value in score(monkeypatch, tmp_path, [results], [task]).items()}
    # left: sentence 0, one entity of the words, O B B I of the pieces
    assert found["seed1", "standard", "seen_in_train"] == 1
    assert found["seed1", "standard", "unseen_entities"] == 1
    assert found["seed1", "standard", "unseen_f1"] == 1.0
    assert found["seed1", "standard", "f1"] == pytest.approx(0.8)
    assert found["seed2", "reference", "unseen_entities"] == 2
    assert found["seed2", "reference", "unseen_precision"] == 1.0
    assert found["seed2", "reference", "unseen_recall"] == pytest.approx(1 / 2)


def test_a_fold_s_rows_are_compared_with_its_own_train(monkeypatch, tmp_path):
    test = {"id": [0, 1, 0, 1], "fold": [1, 1, 2, 2], "sentence": list("abcd"), "label": [1, 0, 1, 1]}
    train = {"id": [0, 1, 0], "fold": [1, 1, 2], "sentence": ["c", "b", "d"], "label": [1, 0, 1]}
    task = write_task(tmp_path / "more" / "Mini-GAD", "Mini-GAD", "re", test, ["0", "1"], train)
    runs = [{"run": f"seed1-fold{fold}", "seed": 1, "fold": fold} for fold in (1, 2)]
    settings = run_settings("tiny", "Mini-GAD", "re", runs, labels=["0", "1"], positive_labels=["1"])
    results = write_results(tmp_path / "results" / "Mini-GAD", settings, re_rows())
    scores = score(monkeypatch, tmp_path, [results], [task])
    found = {key[1:]: value for key, value in scores.items()}
    # fold 1 keeps a: 1, found as 1; fold 2 keeps c: 1, found as 1
    assert [found[f"seed1-fold{fold}", "standard", "seen_in_train"] for fold in (1, 2)] == [1, 1]
    assert [found[f"seed1-fold{fold}", "standard", "unseen_f1"] for fold in (1, 2)] == [1.0, 1.0]
    assert found["seed1-fold1", "standard", "precision"] == 0.5


def test_questions_that_stand_in_train_with_other_snippets_are_left_out(monkeypatch, tmp_path):
    columns = ("id", "question_id", "snippet", "question", "context", "answers")
    empty = {"text": [], "answer_start": []}
    test = [
        ("q1_0", "q1", 0, "w?", "a", empty),
        ("q1_1", "q1", 1, "w?", "b", empty),
        ("q2_0", "q2", 0, "v?", "a", empty),
    ]
    train = [("t1_0", "t1", 0, "v??", "b", empty), ("t2_0", "t2", 0, " W ?", "c", empty)]
    splits = [dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)) for rows in (test, train)]
    task = write_task(tmp_path / "more" / "Mini-BioASQ", "Mini-BioASQ", "qa", splits[0], [], splits[1])
    golden = [{"question_id": "q1", "answers": [["insulin"]]}, {"question_id": "q2", "answers": [["leptin"]]}]
    (task / "golden.json").write_text(json.dumps(golden))
    settings = run_settings("tiny", "Mini-BioASQ", "qa", NER_RUNS[:1])
    results = write_results(tmp_path / "results" / "Mini-BioASQ", settings, qa_rows())
    scores = score(monkeypatch, tmp_path, [results], [task])
    found = {key[2:]: value for key, value in scores.items()}
    # "w?" stands in train, case and white space apart: q1 is left out, q2 is answered by the standard protocol alone
    assert [found[protocol, "seen_in_train"] for protocol in ("standard", "reference")] == [1, 1]
    assert [found[protocol, "unseen_mrr"] for protocol in ("standard", "reference")] == [1.0, 0.0]
    assert found["reference", "mrr"] == 0.25
