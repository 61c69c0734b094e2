"""Tag schemes of named entities: the tags that each has, and one rule by which tags are read as entities and written.

Tags are O, or a letter alone or with a type, as B and B-Gene. They are read by the CoNLL rule that the scorer follows,
which takes any sequence: an entity begins at B (or S, U), behind O or E (or L), and where the type changes. A tag is
legal in a scheme where the entities so read, written in this scheme, give it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

OUTSIDE = "O"  # the tag of a word of no entity
# BILOU's last and unit are BIOES' end and single.
_MEANING = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S"}
_TAG = re.compile(rf"([{''.join(_MEANING)}])(?:-(.+))?")

Entity = tuple[int, int, str]  # first word, the word after the last, type ("" where tags have none)


@dataclass(frozen=True)
class Scheme:
    """The letters of an entity's words.

    Attributes:
        begin, inside, end, single: of the first word, those between, the last one, and the only one.
        adjacent: of the first word of an entity that follows one of its type without a word between; "" where it is as
            any first word.
    """

    begin: str
    inside: str
    end: str
    single: str
    adjacent: str = ""

    @property
    def letters(self) -> set[str]:
        """Return the letters that a file in this scheme may hold, O apart."""
        return {self.begin, self.inside, self.end, self.single, self.adjacent} - {""}


BIO = "bio"
SCHEMES: dict[str, Scheme] = {
    BIO: Scheme("B", "I", "I", "B"),  # IOB2, which prepared datasets are stored in
    "iob1": Scheme("I", "I", "I", "I", adjacent="B"),
    "io": Scheme("I", "I", "I", "I"),
    "bioes": Scheme("B", "I", "E", "S"),
    "bilou": Scheme("B", "I", "L", "U"),
}


def parse_tag(tag: str, scheme: str) -> tuple[str, str] | None:
    """Return what a tag other than O means, (B, I, E or S, type); None where the scheme has no such tag.

    In `io` a type alone, as Gene, is I-Gene, unless it looks like a tag of another scheme.
    """
    found = _TAG.fullmatch(tag)
    if found is None:
        return ("I", tag) if scheme == "io" else None
    return (_MEANING[found[1]], found[2] or "") if found[1] in SCHEMES[scheme].letters else None


def schemes_with(tag: str) -> list[str]:
    """Return the schemes that have a tag; none where it is a tag of none."""
    return [name for name, scheme in SCHEMES.items() if (found := _TAG.fullmatch(tag)) and found[1] in scheme.letters]


def entities_of(tags: Sequence[tuple[str, str] | None]) -> list[Entity]:
    """Return the entities of a sentence, whose tags are as `parse_tag` gives them and None for O."""
    entities: list[Entity] = []
    start, before = 0, None
    for place, tag in enumerate((*tags, None)):
        goes_on = before and tag and before[0] in "BI" and tag[0] in "IE" and before[1] == tag[1]
        if before and not goes_on:
            entities.append((start, place, before[1]))
        if not goes_on:
            start = place
        before = tag
    return entities


def tags_of(entities: Iterable[Entity], length: int, scheme: str) -> list[str]:
    """Return the tags of a sentence of `length` words; `entities` are in order and have no word in common."""
    letters = SCHEMES[scheme]
    tags, before = [OUTSIDE] * length, (-1, "")
    for start, end, kind in entities:
        tail = f"-{kind}" if kind else ""
        first = letters.single if end == start + 1 else letters.begin
        if letters.adjacent and before == (start, kind):
            first = letters.adjacent
        tags[start] = first + tail
        for place in range(start + 1, end):
            tags[place] = (letters.end if place == end - 1 else letters.inside) + tail
        before = (end, kind)
    return tags


def lost_borders(entities: Sequence[Entity], scheme: str) -> int:
    """Return how many entities a scheme cannot tell from the one of their type that ends where they begin."""
    letters = SCHEMES[scheme]
    if letters.begin != letters.inside or letters.adjacent:
        return 0
    return sum(one[1] == other[0] and one[2] == other[2] for one, other in pairwise(entities))
