"""Documents with annotated spans of their text, as the readers of all their forms give them; what offsets count."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate

CHARACTERS = "characters"  # Unicode code points
# Of the other units, from which code point on a character has one more of them: RFC 3629, RFC 2781.
_SIZES = {"utf8_bytes": (0x80, 0x800, 0x10000), "utf16_units": (0x10000,)}
UNITS = (CHARACTERS, *_SIZES)


@dataclass(frozen=True)
class Passage:
    """A piece of a document's text.

    Attributes:
        offset: of its first character in the document, in the file's unit.
        text: the piece.
        is_sentence: whether the file says that it is one sentence; else sentences are found by rule.
    """

    offset: int
    text: str
    is_sentence: bool = False


@dataclass(frozen=True)
class Annotation:
    """A mention of an entity.

    Attributes:
        name: how the file calls it, for messages.
        kind: its type.
        spans: (offset of the first character, offset behind the last one) of its pieces in the document, in the file's
            unit.
        text: what the file says stands there; None where it says nothing.
        passage: the place among the document's passages of the one that it belongs to; None where the file says none.
    """

    name: str
    kind: str
    spans: Sequence[tuple[int, int]]
    text: str | None = None
    passage: int | None = None


@dataclass
class Document:
    """A text and its annotations.

    Attributes:
        name: its id.
        where: file, and line where there is one.
        passages: in the order of their offsets.
        annotations: in the order of the file.
    """

    name: str
    where: str
    passages: list[Passage] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)


def place_of(text: str, character: int, unit: str) -> int:
    """Return where a character of a text begins, its end for the number behind the last one, counted in a unit."""
    return character if unit == CHARACTERS or text.isascii() else _places(text, unit)[character]


def character_at(text: str, place: int, unit: str) -> int | None:
    """Return which character begins at a place counted in a unit; None inside of one, and outside of the text."""
    if unit == CHARACTERS or text.isascii():
        return place if 0 <= place <= len(text) else None
    places = _places(text, unit)
    found = bisect_left(places, place)
    return found if found < len(places) and places[found] == place else None


@lru_cache(maxsize=2)  # the passage, or the sentence, that is being read
def _places(text: str, unit: str) -> list[int]:
    """Return where each character of a text begins, and where it ends."""
    sizes = _SIZES[unit]
    return [0, *accumulate(1 + sum(code >= larger for larger in sizes) for code in map(ord, text))]
