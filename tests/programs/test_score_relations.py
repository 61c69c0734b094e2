"""score_model.py on relations of several classes, all of them positive and one of them without a test sentence."""

import pytest
from helpers.scoring import class_scores, run_settings, score, write_results, write_task

LABELS = ["a", "b", "c"]


def test_an_absent_class_is_named_and_left_out_of_macro_averages(monkeypatch, tmp_path, caplog):
    gold, predicted = "aabb", "acbb"
    test = {"id": [0, 1, 2, 3], "fold": [0] * 4, "sentence": list("wxyz"), "label": [0, 0, 1, 1]}
    train = {"id": [0], "fold": [0], "sentence": ["x"], "label": [0]}
    task = write_task(tmp_path / "tasks" / "Mini", "Mini", "re", test, LABELS, train)
    runs = [{"run": "seed1", "seed": 1, "fold": 0}]
    settings = run_settings("tiny", "Mini", "re", runs, labels=LABELS, positive_labels=LABELS)
    rows = [
        {"run": "seed1", "fold": 0, "id": number, "gold": true, "predicted": found, "probabilities": [0.4, 0.3, 0.3]}
        for number, (true, found) in enumerate(zip(gold, predicted, strict=True))
    ]
    results = write_results(tmp_path / "results" / "Mini", settings, rows)
    scores = {key[-1]: value for key, value in score(monkeypatch, tmp_path, [results], [task]).items()}
    assert scores["precision"] == scores["recall"] == scores["f1"] == 3 / 4  # the accuracy
    assert scores["macro_precision"] == 1.0
    assert scores["macro_recall"] == 3 / 4
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["seen_in_train"] == 1
    assert scores["unseen_f1"] == 1.0
    by_class = {key[3:]: value for key, value in class_scores(tmp_path).items()}
    assert [by_class["a", name] for name in ("precision", "recall", "f1", "support")] == [
        1.0,
        0.5,
        pytest.approx(2 / 3),
        2,
    ]
    assert [by_class["c", name] for name in ("precision", "recall", "f1", "support")] == [0.0, 0.0, 0.0, 0]
    assert "run seed1: no test sentence is c, which macro averages leave out" in caplog.text
