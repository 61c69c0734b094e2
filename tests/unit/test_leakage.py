"""Test data that also stand in train are found by the unit that leaks: the question, the sentence of its fold."""

from compactbio.kinds import KINDS
from compactbio.tasks.leakage import count_seen, seen_in_train
from compactbio.tasks.rows import Rows


def questions(*rows):
    """Columns of (question id, question) rows, each with a context of its own."""
    ids, texts = zip(*rows, strict=True)
    contexts = [f"{name} {number}" for number, name in enumerate(texts)]
    return Rows({"question_id": list(ids), "question": list(texts), "context": contexts}, None)


def test_a_question_leaks_by_its_id_or_its_text_whatever_its_contexts():
    train = questions(("q1", "Which gene?"), ("q2", "What drug?"))
    test = questions(
        ("q1", "Another wording?"),  # the id
        ("t1", "which  GENE ?"),  # the text, without case and white space
        ("t1", "Which gene, then?"),  # a row of a question that leaks by another row
        ("t2", "What drugs?"),
    )
    assert seen_in_train(train, test, KINDS["qa"].leak).tolist() == [True, True, True, False]
    assert count_seen(train, test, KINDS["qa"]) == 2  # questions, not rows
    assert count_seen(train, questions(("t3", "Why?")), KINDS["qa"]) == 0


def test_a_sentence_leaks_by_its_words():
    train, test = Rows({"words": [["A", "b"], ["c"]]}, None), Rows({"words": [["c"], ["a", "b"], ["c"]]}, None)
    assert seen_in_train(train, test, KINDS["ner"].leak).tolist() == [True, False, True]
    assert count_seen(train, test, KINDS["ner"]) == 2


def test_a_sentence_leaks_from_the_train_of_its_own_fold():
    train = Rows({"fold": [1, 2], "sentence": ["a", "b"]}, None)
    test = Rows({"fold": [1, 1, 2, 2], "sentence": ["a", "b", "a", "b"]}, None)
    assert count_seen(train, test, KINDS["re"]) == 2
