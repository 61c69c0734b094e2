"""Decoding of answers against a search that tries every span, one at a time."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from compactbio.finetuning.kinds.answer_spans import best_spans
from compactbio.finetuning.kinds.context_windows import ContextPieces


def every_span(starts, ends, contexts, limit, count):
    """Return {snippet: [(start, end, score, probability)]} by trying all spans of all windows."""
    found: dict[int, dict[tuple[int, int], tuple[float, float]]] = {}
    for start, end, context in zip(starts, ends, contexts, strict=True):
        places = range(context.begin, context.begin + len(context.starts))

        def chances(logits, places=places):
            total = sum(math.exp(logits[place]) for place in [0, *places])
            return {place: math.exp(logits[place]) / total for place in places}

        first, last = chances(start), chances(end)
        spans = found.setdefault(context.snippet, {})
        for i in places:
            for j in places:
                if i <= j < i + limit:
                    key = (int(context.starts[i - context.begin]), int(context.ends[j - context.begin]))
                    value = (first[i] * last[j], float(start[i] + end[j]))
                    spans[key] = max(spans.get(key, (-1.0, 0.0)), value)
    ranked = {}
    for snippet, spans in found.items():
        order = sorted(spans.items(), key=lambda item: (-item[1][0], item[0]))[:count]
        ranked[snippet] = [(*key, score, chance) for key, (chance, score) in order]
    return ranked


def random_windows(draw, snippets):
    starts, ends, contexts = [], [], []
    for snippet in range(snippets):
        sizes = draw.integers(1, 4, size=draw.integers(1, 25))  # pieces of each word
        words = np.repeat(np.arange(len(sizes)), sizes)
        begins, stops = words * 6, words * 6 + 5
        step = 12
        for begin in range(0, len(words), step):
            window = slice(begin, begin + step + 5)
            head = int(draw.integers(3, 8))
            length = head + len(words[window]) + 1
            starts.append(draw.normal(size=length).astype(np.float32) * 2)
            ends.append(draw.normal(size=length).astype(np.float32) * 2)
            contexts.append(ContextPieces(snippet, head, begins[window], stops[window]))
    return starts, ends, contexts


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("limit", [1, 4, 15])
def test_best_spans_equal_a_search_over_every_span(seed, limit):
    starts, ends, contexts = random_windows(np.random.default_rng(seed), snippets=5)
    spans = best_spans(starts, ends, contexts, limit, count=6)
    expected = every_span(starts, ends, contexts, limit, count=6)
    for snippet, wanted in expected.items():
        mine = spans.snippet == snippet
        assert spans.rank[mine].tolist() == list(range(1, len(wanted) + 1))
        assert list(zip(spans.start[mine], spans.end[mine], strict=True)) == [row[:2] for row in wanted]
        assert spans.score[mine] == pytest.approx([row[2] for row in wanted], rel=1e-5)
        assert spans.probability[mine] == pytest.approx([row[3] for row in wanted], rel=1e-5)
    assert set(spans.snippet.tolist()) == set(expected)


def test_many_pieces_of_one_word_do_not_hide_other_answers():
    # one word of 40 pieces has all the best spans; the other word must still be found
    begins = np.array([0] * 40 + [300, 310])
    stops = np.array([299] * 40 + [305, 315])
    start = np.concatenate([[0.0], np.full(40, 5.0), [1.0, 0.5]])
    spans = best_spans([start], [start], [ContextPieces(0, 1, begins, stops)], 15, count=3)
    found = list(zip(spans.start, spans.end, strict=True))
    assert found[0] == (0, 299)
    assert len(found) == len(set(found)) == 3


def test_question_and_empty_answers_are_never_candidates():
    logits = np.array([50.0, 40.0, 30.0, 1.0, 2.0, 60.0])  # [CLS], question, [SEP], two pieces, [SEP]
    context = ContextPieces(0, 3, np.array([0, 4]), np.array([3, 9]))
    spans = best_spans([logits], [logits], [context], 30)
    assert sorted(zip(spans.start.tolist(), spans.end.tolist(), strict=True)) == [(0, 3), (0, 9), (4, 9)]
    assert spans.probability.sum() < 1e-30  # nearly all belongs to [CLS]
    assert all(a >= b for a, b in pairwise(spans.score))


def test_no_windows_give_no_spans():
    assert len(best_spans([], [], [], 15).rank) == 0
