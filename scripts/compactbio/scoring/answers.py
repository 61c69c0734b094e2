"""Question answering: from the spans found in each snippet to the list of answers of a question."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

STANDARD_ANSWER_TOKENS = 30  # longest answer in BioBERT's recipe
REFERENCE_ANSWER_TOKENS = 15  # default of the pipeline that the reference script calls
MOST_ANSWERS = 5  # BioASQ takes no more for a factoid question


class Candidate(NamedTuple):
    """One span: `snippet` is its snippet's place in the question, `rank` its own in the snippet, from 1."""

    snippet: int
    rank: int
    text: str
    score: float


def standard_answers(candidates: Iterable[Candidate], most: int = MOST_ANSWERS) -> list[list[str]]:
    """Return the best answers over all snippets of a question, one list of one string each.

    Ranked by score; of strings that the measure takes for equal (the same after lower-casing) the best placed
    stays. Equal scores keep the order of the file, so that the result never depends on how rows were stored.
    """
    ranked = sorted(candidates, key=lambda candidate: (-candidate.score, candidate.snippet, candidate.rank))
    distinct: dict[str, str] = {}
    for candidate in ranked:
        distinct.setdefault(candidate.text.lower(), candidate.text)
        if len(distinct) == most:
            break
    return [[text] for text in distinct.values()]


def reference_answers(candidates: Iterable[Candidate], most: int = MOST_ANSWERS) -> list[list[str]]:
    """Return one list of the five best strings for each snippet, in the order of the snippets in the file.

    So the reference script writes them. The official measure reads the first string of each list, in this order,
    and all lists, also beyond five: what counts is the top span of each snippet, unranked.
    """
    of_snippet: dict[int, list[str]] = {}
    for candidate in sorted(candidates, key=lambda candidate: (candidate.snippet, candidate.rank)):
        texts = of_snippet.setdefault(candidate.snippet, [])
        if len(texts) < most:
            texts.append(candidate.text)
    return list(of_snippet.values())
