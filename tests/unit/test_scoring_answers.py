"""From spans to a question's list of answers."""

import random

from compactbio.scoring.bioasq import Candidate, reference_answers, standard_answers

SPANS = [
    Candidate(0, 1, "insulin", 3.0),
    Candidate(0, 2, "the insulin", 2.5),
    Candidate(1, 1, "Insulin", 9.0),
    Candidate(1, 2, "glucagon", 1.0),
    Candidate(2, 1, "leptin", 5.0),
]


def test_standard_ranks_over_snippets_and_merges_by_case():
    assert standard_answers(SPANS) == [["Insulin"], ["leptin"], ["the insulin"], ["glucagon"]]


def test_standard_keeps_five_distinct_answers():
    spans = [Candidate(0, rank, f"answer {rank // 2}", -float(rank)) for rank in range(20)]
    assert standard_answers(spans) == [[f"answer {number}"] for number in range(5)]


def test_standard_does_not_trim():
    spans = [Candidate(0, 1, "insulin", 2.0), Candidate(0, 2, " insulin", 1.0)]
    assert standard_answers(spans) == [["insulin"], [" insulin"]]


def test_equal_scores_keep_the_order_of_the_file():
    spans = [Candidate(1, 1, "c", 0.0), Candidate(0, 2, "b", 0.0), Candidate(0, 1, "a", 0.0)]
    assert standard_answers(spans) == [["a"], ["b"], ["c"]]


def test_reference_keeps_file_order_and_five_strings_a_snippet():
    spans = [*SPANS, *(Candidate(7, rank, f"span {rank}", 100.0) for rank in range(1, 21))]
    random.Random(0).shuffle(spans)
    assert reference_answers(spans) == [
        ["insulin", "the insulin"],
        ["Insulin", "glucagon"],
        ["leptin"],
        ["span 1", "span 2", "span 3", "span 4", "span 5"],
    ]


def test_no_spans_give_no_answers():
    assert standard_answers([]) == reference_answers([]) == []
