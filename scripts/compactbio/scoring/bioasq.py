"""BioASQ's factoid questions: the answers of a question from the spans in its snippets, and the official measures.

The measures are as the official scorer computes them since the fifth edition. Read from its source
(BioASQ/Evaluation-Measures, QuestionAnswerEvaluator and Task1bData) and compared with what it prints: strings are
equal after lower-casing, nothing is trimmed; any string of any golden list is right; of a submitted list the first
string counts alone; an empty list takes no rank, a repeated one does; no list is left out, however many there are; the
denominator is the number of golden factoid questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

AnswerLists = Sequence[Sequence[str]]

STANDARD_ANSWER_TOKENS = 30  # longest answer in BioBERT's recipe
REFERENCE_ANSWER_TOKENS = 15  # default of the pipeline that the reference script calls
MOST_ANSWERS = 5  # BioASQ takes no more for a factoid question


class Candidate(NamedTuple):
    """One span: `snippet` is its snippet's place in the question, `rank` its own in the snippet, from 1."""

    snippet: int
    rank: int
    text: str
    score: float


def standard_answers(candidates: Iterable[Candidate]) -> list[list[str]]:
    """Return the best answers over all snippets of a question, one list of one string each.

    Ranked by score; of strings that the measure takes for equal (the same after lower-casing) the best placed
    stays. Equal scores keep the order of the file, so that the result never depends on how rows were stored.
    """
    ranked = sorted(candidates, key=lambda candidate: (-candidate.score, candidate.snippet, candidate.rank))
    distinct: dict[str, str] = {}
    for candidate in ranked:
        distinct.setdefault(candidate.text.lower(), candidate.text)
        if len(distinct) == MOST_ANSWERS:
            break
    return [[text] for text in distinct.values()]


def reference_answers(candidates: Iterable[Candidate]) -> list[list[str]]:
    """Return one list of the five best strings for each snippet, in the order of the snippets in the file.

    So the reference script writes them. The official measure reads the first string of each list, in this order,
    and all lists, also beyond five: what counts is the top span of each snippet, unranked.
    """
    of_snippet: dict[int, list[str]] = {}
    for candidate in sorted(candidates, key=lambda candidate: (candidate.snippet, candidate.rank)):
        texts = of_snippet.setdefault(candidate.snippet, [])
        if len(texts) < MOST_ANSWERS:
            texts.append(candidate.text)
    return list(of_snippet.values())


def rank_of_answer(golden: AnswerLists, submitted: AnswerLists) -> int | None:
    """Return the rank, from 1, of the first right answer of one question, or None if none is right."""
    right = {text.lower() for synonyms in golden for text in synonyms}
    heads = [texts[0].lower() for texts in submitted if texts]
    return next((rank for rank, head in enumerate(heads, start=1) if head in right), None)


def score_factoids(golden: Mapping[str, AnswerLists], submitted: Mapping[str, AnswerLists]) -> dict[str, float]:
    """Return strict (first answer right), lenient (any right) and mrr (mean reciprocal rank), fractions in [0, 1].

    Args:
        golden: {question: lists of synonyms}; every question counts.
        submitted: {question: lists of strings, best first}; a question without an entry has no answer.
    """
    return scores_of_counts(count_factoids(golden, submitted))


def count_factoids(
    golden: Mapping[str, AnswerLists], submitted: Mapping[str, AnswerLists]
) -> list[tuple[int, int, float]]:
    """Return for each golden question whether the first answer is right, whether any is, and 1 / rank or 0."""
    ranks = [rank_of_answer(synonyms, submitted.get(question, ())) for question, synonyms in golden.items()]
    return [(0, 0, 0.0) if rank is None else (int(rank == 1), 1, 1 / rank) for rank in ranks]


def scores_of_counts(counts: Sequence[tuple[int, int, float]]) -> dict[str, float]:
    """Return the means over questions of what `count_factoids` gives."""
    # Plain additions in the golden order, as the official scorer does them: `sum` may compensate rounding.
    strict = lenient = 0
    reciprocal = 0.0
    for first, any_of_them, one_by_rank in counts:
        strict += first
        lenient += any_of_them
        reciprocal += one_by_rank
    questions = max(len(counts), 1)
    return {"strict": strict / questions, "lenient": lenient / questions, "mrr": reciprocal / questions}
