"""Entities of label sequences, found on arrays, equal those that seqeval finds one label at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from compactbio.scoring.entities import count_entities, find_spans, labels_of_lists, score_entities

LABEL = st.sampled_from(["O", "B", "I", "B-Gene", "I-Gene", "B-Drug", "I-Drug", "E-Gene", "S-Drug"])
SENTENCES = st.lists(st.lists(LABEL, max_size=12), min_size=1, max_size=6)
PAIRS = st.lists(st.lists(st.tuples(LABEL, LABEL), max_size=12), min_size=1, max_size=6)


def entities_of(labels: list[str]) -> set[tuple[str, int, int]]:
    """Return (type, first, last) of one sentence by seqeval; it calls a type `_` where a label has none."""
    return set(get_entities(labels))


@given(SENTENCES)
def test_spans_are_those_of_seqeval(sentences):
    labels = labels_of_lists(sentences)
    codes: dict[str, int] = {}
    spans = find_spans(labels, codes)
    names = {code: name or "_" for name, code in codes.items()}
    found = set()
    for start, end, code in zip(spans.starts, spans.ends, spans.types, strict=True):
        number = max(n for n in range(len(sentences)) if labels.offsets[n] + n <= start)
        first = int(start - labels.offsets[number] - number)
        found.add((number, names[int(code)], first, first + int(end - start) - 1))
    expected = {(number, *entity) for number, sentence in enumerate(sentences) for entity in entities_of(sentence)}
    assert found == expected


@given(PAIRS)
def test_counts_of_each_sentence_and_scores_are_those_of_seqeval(pairs):
    gold = [[mine for mine, _ in sentence] for sentence in pairs]
    predicted = [[theirs for _, theirs in sentence] for sentence in pairs]
    counts = count_entities(labels_of_lists(gold), labels_of_lists(predicted))
    for row, mine, theirs in zip(counts.tolist(), gold, predicted, strict=True):
        true, found = entities_of(mine), entities_of(theirs)
        assert row == [len(true & found), len(found), len(true)]
    scores = score_entities(labels_of_lists(gold), labels_of_lists(predicted))
    assert scores["precision"] == precision_score(gold, predicted, zero_division=0)
    assert scores["recall"] == recall_score(gold, predicted, zero_division=0)
    assert scores["f1"] == f1_score(gold, predicted, zero_division=0)
