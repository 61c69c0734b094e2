"""Relation scores: by hand, and against confusion counts of our own and scikit-learn's report."""

import random

import pytest
from sklearn.metrics import accuracy_score, classification_report

from compactbio.scoring.relations import score_classes, score_relations


def test_one_positive_class():
    # true positives 2, false positives 1, false negatives 2
    scores = score_relations(list("1111000"), list("1100100"), ["1"])
    assert scores == {
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(1 / 2),
        "f1": pytest.approx(4 / 7),
    }


def test_several_classes_leave_out_the_negative_one():
    gold = ["a", "a", "b", "false", "false", "b"]
    predicted = ["a", "b", "b", "false", "a", "false"]
    # a: 1 right of 2 found, 2 gold; b: 1 right of 2 found, 2 gold; `false` right once counts nothing.
    scores = score_relations(gold, predicted, ["a", "b"])
    assert scores == {name: pytest.approx(0.5) for name in scores}
    assert len(scores) == 6


def test_micro_and_macro_differ_where_classes_do():
    gold = ["a"] * 8 + ["b"] * 2
    predicted = ["a"] * 8 + ["false"] * 2
    scores = score_relations(gold, predicted, ["a", "b"])
    assert scores["precision"] == 1.0
    assert scores["recall"] == pytest.approx(0.8)
    assert scores["macro_recall"] == pytest.approx(0.5)
    assert scores["macro_precision"] == pytest.approx(0.5)  # nothing found of b counts 0
    assert scores["macro_f1"] == pytest.approx(0.5)


def test_equals_scikit_learn_s_report():
    draw = random.Random(3)
    classes = ["false", "CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9"]
    gold = draw.choices(classes, [10, 3, 5, 1, 1, 2], k=400)
    predicted = [label if draw.random() < 0.6 else draw.choice(classes) for label in gold]
    report = classification_report(gold, predicted, labels=classes[1:], output_dict=True, zero_division=0)
    scores = score_relations(gold, predicted, classes[1:])
    for average, prefix in (("micro avg", ""), ("macro avg", "macro_")):
        assert scores[f"{prefix}precision"] == pytest.approx(report[average]["precision"], abs=1e-15)
        assert scores[f"{prefix}recall"] == pytest.approx(report[average]["recall"], abs=1e-15)
        assert scores[f"{prefix}f1"] == pytest.approx(report[average]["f1-score"], abs=1e-15)
    classes_alone = score_classes(gold, predicted, classes[1:])
    for label, found in classes_alone.items():
        expected = {("f1" if name == "f1-score" else name): value for name, value in report[label].items()}
        assert found == pytest.approx(expected, abs=1e-15)


def test_all_labels_positive_is_the_accuracy():
    draw = random.Random(5)
    classes = [f"c{number}" for number in range(13)]
    gold = draw.choices(classes, range(1, 14), k=500)
    predicted = [label if draw.random() < 0.5 else draw.choice(classes) for label in gold]
    scores = score_relations(gold, predicted, classes)
    expected = pytest.approx(accuracy_score(gold, predicted), abs=1e-15)
    assert scores["precision"] == scores["recall"] == scores["f1"] == expected


def test_macro_averages_leave_out_classes_that_no_example_has():
    gold = ["a", "a", "b", "b"]
    predicted = ["a", "c", "b", "b"]
    # a: precision 1, recall 1/2; b: both 1; c is predicted once and has no example; d neither.
    scores = score_relations(gold, predicted, ["a", "b", "c", "d"])
    assert scores["macro_precision"] == pytest.approx(1.0)
    assert scores["macro_recall"] == pytest.approx(3 / 4)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["precision"] == scores["recall"] == scores["f1"] == pytest.approx(3 / 4)
    assert set(score_relations(["false"], ["a"], ["a", "b"]).values()) == {0.0}


def test_nothing_found_scores_zero_without_a_warning(recwarn):
    assert set(score_relations(["1", "0"], ["0", "0"], ["1"]).values()) == {0.0}
    assert not recwarn.list
