"""Where an annotation stands in the text of its document, compared with what the file says of it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from compactbio.errors import UserError
from compactbio.tasks.documents import CHARACTERS, UNITS, Annotation, Document, character_at
from compactbio.tasks.prepared import Definition

DISCONTINUOUS, ACROSS_SENTENCES = "discontinuous", "across_sentences"  # misfits


@dataclass(frozen=True)
class Located:
    """An annotation of one piece.

    Attributes:
        annotation: as the file has it.
        passage: place of its passage in the document.
        start, end: characters of the passage.
        label: its type in the labels.
        text: what stands there.
    """

    annotation: Annotation
    passage: int
    start: int
    end: int
    label: str
    text: str

    def __str__(self) -> str:
        first, last = self.annotation.spans[0][0], self.annotation.spans[-1][1]
        return f"{self.annotation.name} ({self.annotation.kind}, {first} to {last}, {self.text[:60]!r})"


def locate(document: Document, annotation: Annotation, label: str, definition: Definition) -> Located | str:
    """Return where an annotation stands, white space at its ends apart, or which misfit it is.

    Discontinuous is what has several pieces with more than white space between them.

    Raises:
        UserError: it ends outside of its passage, or the text there is not its own, white space apart.
    """
    unit = definition.offsets or CHARACTERS
    found = _characters(document, annotation, unit)
    if found is not None:
        passage, pieces = found
        text = document.passages[passage].text
        if any(text[one[1] : other[0]].strip() or other[0] < one[1] for one, other in pairwise(pieces)):
            return DISCONTINUOUS
        start, end = pieces[0][0], pieces[-1][1]
        own = text[start:end]
        if _is_own(own, annotation):
            start, end = start + len(own) - len(own.lstrip()), start + len(own.rstrip())
            return Located(annotation, passage, start, end, label, own.strip())
    elif _crosses(document, annotation, unit):
        return ACROSS_SENTENCES
    raise UserError(_difference(document, annotation, unit, definition.key))


def _characters(document: Document, annotation: Annotation, unit: str) -> tuple[int, list[tuple[int, int]]] | None:
    """Return an annotation's passage and its pieces, in order, as characters of it; None where it has no such place."""
    spans = sorted(annotation.spans)
    number = annotation.passage
    if number is None:
        number = bisect_right(document.passages, spans[0][0], key=lambda passage: passage.offset) - 1
    if number < 0:
        return None
    passage = document.passages[number]
    pieces = []
    for span in spans:
        start, end = (character_at(passage.text, place - passage.offset, unit) for place in span)
        if start is None or end is None or not passage.text[start:end].strip():
            return None
        pieces.append((start, end))
    return number, pieces


def _crosses(document: Document, annotation: Annotation, unit: str) -> bool:
    """Return whether an annotation begins in one passage and ends in another."""
    numbers = []
    for place in (min(annotation.spans)[0], max(annotation.spans)[1]):
        number = bisect_right(document.passages, place, key=lambda passage: passage.offset) - 1
        if number < 0 or (
            character_at(document.passages[number].text, place - document.passages[number].offset, unit) is None
        ):
            return False
        numbers.append(number)
    return numbers[0] < numbers[1]


def _is_own(text: str, annotation: Annotation) -> bool:
    """Return whether a text is the annotation's own as the file has it, white space apart."""
    return annotation.text is None or "".join(text.split()) == "".join(annotation.text.split())


def _difference(document: Document, annotation: Annotation, unit: str, key: str) -> str:
    """Return what is wrong with an annotation's offsets, and in which unit they would be right."""
    first, last = min(annotation.spans)[0], max(annotation.spans)[1]
    told = f"{document.where}, document {document.name}: {annotation.name} ({annotation.kind}, {first} to {last})"
    found = _characters(document, annotation, unit)
    if found is None:
        fault = "is no place in a passage of its text"
    else:
        number, pieces = found
        text = document.passages[number].text[pieces[0][0] : pieces[-1][1]]
        fault = f"is {text[:80]!r} in the text, and {(annotation.text or '')[:80]!r} by the annotation"
    cure = f"correct the file, or {key}.offsets"
    for other in UNITS:
        places = _characters(document, annotation, other) if other != unit else None
        if annotation.text is not None and places is not None:
            number, pieces = places
            if _is_own(document.passages[number].text[pieces[0][0] : pieces[-1][1]], annotation):
                cure = f"they fit if counted otherwise: set {key}.offsets: {other}"
                break
    return f"{told} {fault} (offsets are taken for {unit}): {cure}"
