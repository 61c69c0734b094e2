"""Sentence boundaries of biomedical prose by rule: no model, no dependency, offsets kept."""

from __future__ import annotations

import re
from collections.abc import Iterable

Span = tuple[int, int]

# A boundary candidate: final punctuation, closing quotes and brackets, white space, and then something that
# can begin a sentence: a capital, a digit or a Greek letter (perhaps after an opening quote or bracket), or a
# small-letter symbol such as p53, mTOR or c-Jun.
_CANDIDATE = re.compile(
    r"""[.!?]["'”’)\]]*(?P<gap>\s+)(?=["'“‘(\[]*(?:[A-Z0-9\u0391-\u03C9]|[-+±]\)-|[a-z]{1,4}-?[A-Z0-9]))"""
)
_LAST_TOKEN = re.compile(r"[^\s(\[/,;]*$")
_NEXT_TOKEN = re.compile(r"""["'“‘(\[]*(\S*)""")
_PREVIOUS_WORD = re.compile(r"(\S+)\s+\S*$")

# After these a full stop does not end a sentence.
_ABBREVIATION = re.compile(r"e\.g|i\.e|vs|al|cf|ca|approx|dr|prof|mrs?|st|resp|viz|figs|refs|spp?|subsp|var|ser")
# After these it does not if a number follows.
_BEFORE_NUMBERS = re.compile(r"no|nos|figs?|refs?|eqs?|table|tab|ec|0")
# A single capital after one of these is the initial of a species or a person ("of S. Typhimurium"),
# after another word it is the end of a name ("protein kinase C. These ...").
_BEFORE_INITIAL = re.compile(r"an?|the|of|in|by|from|and|or|with|to|for|on|against|both|into|between")


def find_sentences(text: str, keep_whole: Iterable[Span] = ()) -> tuple[list[Span], int]:
    """Return the sentences of a text as (start, end) offsets, and how many boundaries were given up.

    A line break or tab is always a boundary (it divides title and abstract). A boundary that would cut one of
    the spans in `keep_whole`, the mentions of entities, is given up and counted. White space at the ends is
    outside the spans; no span is empty.
    """
    cuts = sorted({*_boundaries(text), *(match.start() for match in re.finditer(r"[\t\n]", text))})
    inside = sorted(keep_whole)
    kept = [cut for cut in cuts if not any(start < cut < end for start, end in inside)]
    spans = []
    for start, end in zip([0, *kept], [*kept, len(text)], strict=True):
        piece = text[start:end]
        left = start + len(piece) - len(piece.lstrip())
        right = start + len(piece.rstrip())
        if left < right:
            spans.append((left, right))
    return spans, len(cuts) - len(kept)


def _boundaries(text: str) -> Iterable[int]:
    """Yield the offsets of the white space after each sentence's end."""
    for match in _CANDIDATE.finditer(text):
        if text[match.start()] != "." or _ends_sentence(text, match.start(), match.end()):
            yield match.start("gap")


def _ends_sentence(text: str, stop: int, following: int) -> bool:
    """Return whether the full stop at `stop`, followed by a token at `following`, ends a sentence."""
    before = text[max(0, stop - 60) : stop]
    last, following_token = _LAST_TOKEN.search(before), _NEXT_TOKEN.match(text, following)
    token = last.group() if last else ""
    next_token = following_token.group(1) if following_token else ""
    word = token.lower()
    if _ABBREVIATION.fullmatch(word) and not (token.isupper() and len(token) > 1):
        return False
    if next_token[:1].isdigit() and _BEFORE_NUMBERS.fullmatch(word):
        return False
    if len(token) == 1 and token.isupper():
        previous = _PREVIOUS_WORD.search(before)
        return previous is not None and not _BEFORE_INITIAL.fullmatch(previous.group(1).lower())
    if re.fullmatch(r"(?:[a-z]\.)+[a-z]", word):
        # "injected i.p. The rats": a capitalised word begins a sentence; "i.p. LPS" and "U.S. Food" do not.
        return token.islower() and bool(re.match(r"[A-Z][a-z]", next_token))
    return True
