"""Documents with annotated spans of their text, as the readers of all their forms give them; what offsets count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

CHARACTERS = "characters"  # Unicode code points
_CODES = {"utf8_bytes": ("utf-8", 1), "utf16_units": ("utf-16-le", 2)}  # encoding, bytes of a unit
UNITS = (CHARACTERS, *_CODES)


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


def length_in(text: str, unit: str) -> int:
    """Return how long a text is in a unit of `UNITS`."""
    if unit == CHARACTERS or text.isascii():
        return len(text)
    encoding, size = _CODES[unit]
    return len(text.encode(encoding)) // size


def character_at(text: str, place: int, unit: str) -> int | None:
    """Return which character begins at a place counted in a unit; None inside of one, and outside of the text."""
    if not 0 <= place <= length_in(text, unit):
        return None
    if unit == CHARACTERS or text.isascii():
        return place
    encoding, size = _CODES[unit]
    try:
        return len(text.encode(encoding)[: size * place].decode(encoding))
    except UnicodeDecodeError:
        return None
