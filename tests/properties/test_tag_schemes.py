"""Tags of every scheme mean what seqeval finds in them, and conversion there and back changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Entities

from compactbio.kinds.tag_schemes import BIO, OUTSIDE, SCHEMES, entities_of, lost_borders, parse_tag, tags_of

STRICT = {"bio": IOB2, "iob1": IOB1, "bioes": IOBES, "bilou": BILOU}  # seqeval knows no IO
ANY_TAGS = st.lists(st.sampled_from(["O", "B", "I", "E", "S", "B-x", "I-x", "E-x", "S-x", "I-y", "B-y"]), max_size=12)


@st.composite
def sentences(draw: st.DrawFn) -> tuple[list[tuple[int, int, str]], int]:
    """Entities of a sentence, adjacent ones often, and its length."""
    entities, place = [], 0
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=5)):
        place += gap
        entities.append((place, place + length, draw(st.sampled_from(["x", "y"]))))
        place += length
    return entities, place + draw(st.integers(0, 2))


def read(tags: list[str], scheme: str) -> list[tuple[int, int, str]]:
    return entities_of([None if tag == OUTSIDE else parse_tag(tag, scheme) for tag in tags])


def of_seqeval(tags: list[str]) -> list[tuple[int, int, str]]:
    return [(first, last + 1, kind.replace("_", "")) for kind, first, last in get_entities(tags)]


@given(ANY_TAGS)
def test_any_tags_are_read_as_seqeval_reads_them(tags: list[str]) -> None:
    assert read(tags, "bioes") == of_seqeval(tags)


@given(ANY_TAGS)
def test_legal_tags_are_those_that_writing_gives_again_and_writing_repairs_the_rest(tags: list[str]) -> None:
    found = read(tags, "bioes")
    repaired = tags_of(found, len(tags), "bioes")
    assert read(repaired, "bioes") == found == of_seqeval(repaired)
    assert tags_of(read(repaired, "bioes"), len(tags), "bioes") == repaired


@pytest.mark.parametrize("scheme", STRICT)
@given(sentences())
def test_what_is_written_is_what_seqeval_reads_strictly(scheme: str, sentence) -> None:
    entities, length = sentence
    tags = tags_of(entities, length, scheme)
    [found] = Entities([tags], STRICT[scheme]).entities if tags else [[]]
    assert [(one.start, one.end, one.tag) for one in found] == entities
    assert read(tags, scheme) == entities
    assert lost_borders(entities, scheme) == 0


@pytest.mark.parametrize("scheme", SCHEMES)
@given(sentences())
def test_there_and_back_is_the_same_but_for_borders_that_io_has_not(scheme: str, sentence) -> None:
    entities, length = sentence
    stored = tags_of(entities, length, BIO)
    there = tags_of(read(stored, BIO), length, scheme)
    back = tags_of(read(there, scheme), length, BIO)
    lost = lost_borders(entities, scheme)
    assert len(read(there, scheme)) == len(entities) - lost
    assert sum(a != b for a, b in zip(stored, back, strict=True)) == lost  # the B of each is an I now
    assert lost == 0 or scheme == "io"
    assert tags_of(read(back, BIO), length, scheme) == there


def test_io_has_types_alone_and_bilou_its_own_letters() -> None:
    assert read(["I-x", "x", "O", "y", "I"], "io") == [(0, 2, "x"), (3, 4, "y"), (4, 5, "")]
    assert read(["U-x", "B-x", "I-x", "L-x", "L"], "bilou") == [(0, 1, "x"), (1, 4, "x"), (4, 5, "")]
    assert parse_tag("E-x", "bilou") is None and parse_tag("U-x", "bioes") is None and parse_tag("B-x", "io") is None
    assert parse_tag("x", "bio") is None
