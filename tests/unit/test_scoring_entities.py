"""Entity scores: counted by hand, and against seqeval itself on random sequences."""

import random
import time

import numpy as np
import pyarrow as pa
import pytest
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

from compactbio.errors import UserError
from compactbio.scoring.entities import (
    count_entities,
    find_spans,
    labels_of_column,
    labels_of_lists,
    labels_of_pieces,
    match_entities,
    match_pieces,
    score_entities,
    scores_of_counts,
)


def scores_of(gold, predicted):
    return score_entities(labels_of_lists(gold), labels_of_lists(predicted))


def test_an_entity_needs_both_ends():
    # gold: [0, 2) and [3, 4); predicted: [0, 2) right, [2, 4) wrong.
    assert scores_of([list("BIOB")], [list("BIBI")]) == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "entities": 2}


def test_an_entity_needs_its_type():
    assert scores_of([["B-gene", "I-gene"]], [["B-drug", "I-drug"]])["f1"] == 0


def test_spans_do_not_run_across_sentences():
    spans = find_spans(labels_of_lists([list("OB"), list("IO")]), {})
    # Positions count one more for each sentence before.
    assert spans.starts.tolist() == [1, 3]
    assert spans.ends.tolist() == [2, 4]


def test_a_stray_inside_starts_an_entity():
    assert scores_of([list("OB")], [list("OI")])["f1"] == 1.0


def test_nothing_to_find_and_nothing_found_score_zero():
    scores = scores_of([list("OO"), []], [list("OO"), []])
    assert tuple(scores.values()) == (0.0, 0.0, 0.0, 0)
    assert scores_of([], [])["f1"] == 0.0


@pytest.mark.parametrize("label", ["Gene", "b", "B_gene", "B-", ""])
def test_an_unknown_form_of_label_is_refused(label):
    with pytest.raises(UserError, match="is not O, B or I"):
        scores_of([["O", "B"]], [["O", label]])


def test_different_lengths_are_a_defect():
    with pytest.raises(ValueError, match="sentence lengths"):
        scores_of([list("OB")], [list("O")])


@pytest.mark.parametrize(
    "names",
    [
        ["O", "B", "I"],
        ["O", "O", "O", "O", "B", "I"],
        ["O", "B-gene", "I-gene", "B-drug", "I-drug"],
        ["O", "B", "I", "E", "S"],
        ["O", "B-a-x", "I-a-x", "E-a", "S-a", "I-b", "B", "I", "S-b"],
    ],
)
def test_equals_seqeval_to_the_last_digit(names):
    draw = random.Random(" ".join(names))
    for _ in range(150):
        gold = [
            [draw.choice(names) for _ in range(draw.choice([0, 1, 2, 5, 12]))] for _ in range(draw.choice([1, 2, 6]))
        ]
        predicted = [[label if draw.random() < 0.7 else draw.choice(names) for label in sentence] for sentence in gold]
        ours = scores_of(gold, predicted)
        precision, recall, f1, entities = precision_recall_fscore_support(
            gold, predicted, average="micro", zero_division=0
        )
        assert tuple(ours.values()) == (precision, recall, f1, entities)


def test_pieces_repeat_the_word_s_label():
    # "O B B B I": a word of three pieces labelled B is three entities, the last with its I.
    words = labels_of_lists([["O", "B", "I"]])
    pieces = labels_of_pieces(words, np.array([0, 1, 1, 1, 2]), np.array([0, 5]))
    assert [pieces.names[code] for code in pieces.codes] == list("OBBBI")
    assert len(find_spans(pieces, {}).starts) == 3


def test_pieces_of_the_second_sentence_belong_to_its_own_words():
    words = labels_of_lists([["B", "O"], ["O", "B"]])
    pieces = labels_of_pieces(words, np.array([0, 0, 1, 0, 1, 1]), np.array([0, 3, 6]))
    assert [pieces.names[code] for code in pieces.codes] == list("BBOOBB")


def test_counts_belong_to_their_sentences():
    draw = random.Random(3)
    gold = [draw.choices("OBI", k=draw.randrange(0, 7)) for _ in range(50)]
    predicted = [draw.choices("OBI", k=len(labels)) for labels in gold]
    counts = count_entities(labels_of_lists(gold), labels_of_lists(predicted))
    for labels, others, row in zip(gold, predicted, counts, strict=True):
        assert [row.tolist()] == count_entities(labels_of_lists([labels]), labels_of_lists([others])).tolist()


def test_types_equal_seqeval_s_report():
    draw = random.Random(11)
    names = ["O", "O", "O", "B-gene", "I-gene", "B-drug", "I-drug", "B-cell-line", "I-cell-line"]
    gold = [draw.choices(names, k=draw.randrange(1, 12)) for _ in range(120)]
    predicted = [[label if draw.random() < 0.8 else draw.choice(names) for label in sentence] for sentence in gold]
    report = classification_report(gold, predicted, output_dict=True, zero_division=0)
    counts = match_entities(labels_of_lists(gold), labels_of_lists(predicted)).by_type()
    assert {"gene", "drug", "cell-line"} == counts.keys() - {""}
    for name in counts.keys() - {""}:
        assert tuple(scores_of_counts(counts[name]).values()) == tuple(report[name].values())
    assert (
        sum(counts.values()).tolist()
        == count_entities(labels_of_lists(gold), labels_of_lists(predicted)).sum(0).tolist()
    )


def test_reference_scores_equal_seqeval_over_repeated_labels():
    draw = random.Random(7)
    gold = [[draw.choice("OBI") for _ in range(draw.randrange(0, 9))] for _ in range(60)]
    # Some words have no piece at all: nothing may shift.
    piece_words = [
        [word for word in range(len(sentence)) for _ in range(draw.choice([0, 1, 1, 3]))] for sentence in gold
    ]
    predicted = [[draw.choice("OBI") for _ in words] for words in piece_words]
    limit = 6
    repeated = [[sentence[word] for word in words][:limit] for sentence, words in zip(gold, piece_words, strict=True)]
    expected = precision_recall_fscore_support(
        repeated, [labels[:limit] for labels in predicted], average="micro", zero_division=0
    )
    matches = match_pieces(
        labels_of_lists(gold),
        labels_of_lists(predicted),
        np.array([word for words in piece_words for word in words]),
        limit,
    )
    ours = scores_of_counts(matches.by_sentence())
    assert tuple(ours.values()) == expected


@pytest.mark.parametrize("dictionary", [False, True])
def test_arrow_columns_and_lists_are_read_alike(dictionary):
    sentences = [["O", "B"], [], ["B", "I", "O"]]
    kind = pa.dictionary(pa.int8(), pa.string()) if dictionary else pa.string()
    column = pa.array([["I"], *sentences], pa.list_(kind))[1:]  # a slice, as a filter may leave it
    read, expected = labels_of_column(column), labels_of_lists(sentences)
    assert read.offsets.tolist() == expected.offsets.tolist() == [0, 2, 2, 5]
    assert [read.names[code] for code in read.codes] == [expected.names[code] for code in expected.codes]


def test_a_set_of_the_size_of_bc2gm_takes_under_a_second():
    draw = random.Random(1)
    gold = [draw.choices("OOOOOOOOBI", k=28) for _ in range(5038)]
    predicted = [draw.choices("OOOOOOOOBI", k=28) for _ in range(5038)]
    begun = time.process_time()
    scores_of(gold, predicted)
    assert time.process_time() - begun < 1
