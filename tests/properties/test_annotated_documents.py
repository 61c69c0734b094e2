"""Any annotations of any text: each is kept with the words that it covers, or counted, and comes back to its place."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from compactbio.kinds.tag_schemes import BIO, OUTSIDE, entities_of, parse_tag
from compactbio.tasks.prepared import Prepared, parse_definition
from compactbio.tasks.span_lines import read_dataset

LABELS = ["O", "B-x", "I-x", "B-y", "I-y"]
KEPT = {"discontinuous": "drop", "across_sentences": "drop", "unaligned": "widen", "overlapping": "keep_longest"}
PIECES = st.sampled_from(["IL", "-", "2", " ", "  ", ". ", "A", "é", "𝛼", "(", ")", "\n", "\u00a0", "e\u0301", "p53"])


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, list[tuple[int, int, str]]]:
    """A text and spans of it that are not blank."""
    text = "x " + "".join(draw(st.lists(PIECES, max_size=25)))
    places = st.tuples(*[st.integers(0, len(text))] * 2).map(sorted)
    spans = draw(st.lists(st.tuples(places, st.sampled_from(["x", "y", "other"])), max_size=6))
    return text, [(a, b, kind) for (a, b), kind in spans if text[a:b].strip()]


def prepare(text: str, spans: list[tuple[int, int, str]]) -> Prepared:
    with tempfile.TemporaryDirectory() as folder:
        rows = [{"start": a, "end": b, "label": kind, "text": text[a:b]} for a, b, kind in spans]
        rows += [{"start": 0, "end": 1, "label": kind} for kind in "xy"]  # so that both types are there
        for split in ("train", "test"):
            line = {"id": split, "text": text, "entities": rows}
            Path(folder, f"{split}.jsonl").write_text(json.dumps(line) + "\n")
        files = {"train": "train.jsonl", "test": "test.jsonl"}
        definition = {"task": "ner", "layout": "span_lines", "folder": "", "files": files, "labels": LABELS}
        definition |= {"types": ["x", "y"], "misfits": KEPT}
        return read_dataset(parse_definition("any", definition, Path(folder)))


def found(prepared: Prepared, split: str) -> list[tuple[int, int, str]]:
    """Return the entities of a split as characters of the document, by the stored places."""
    spans, places = [], prepared.places
    rows = [row for row, name in enumerate(places["split"]) if name == split]
    for row, labels in zip(rows, prepared.splits[split]["labels"], strict=True):
        tags = [None if LABELS[one] == OUTSIDE else parse_tag(LABELS[one], BIO) for one in labels]
        for first, last, kind in entities_of(tags):
            offset = places["offset"][row]
            spans.append((offset + places["starts"][row][first], offset + places["ends"][row][last - 1], kind))
    return spans


@given(documents())
def test_every_annotation_is_kept_or_counted(document) -> None:
    text, spans = document
    prepared = prepare(text, spans)
    counts = prepared.counts["test"]
    left_out = ("entities_of_other_types", "repeated_annotations", "across_sentences", "overlapping")
    assert counts["entities"] + sum(counts[name] for name in left_out) == len(spans) + 2
    entities = found(prepared, "test")
    assert len(entities) == counts["entities"]
    wanted = [(a, b, kind) for a, b, kind in [*spans, (0, 1, "x"), (0, 1, "y")] if kind != "other"]
    for start, end, kind in entities:  # each covers an annotation of its type, and no more than the words at its ends
        assert any(
            start <= a + len(text[a:b]) - len(text[a:b].lstrip())
            and b - len(text[a:b]) + len(text[a:b].rstrip()) <= end
            for a, b, other in wanted
            if other == kind
        )


@given(documents())
def test_words_and_sentences_do_not_show_where_entities_are(document) -> None:
    text, spans = document
    with_them, without = prepare(text, spans), prepare(text, [])
    assert with_them.splits["test"]["words"] == without.splits["test"]["words"]
    places = with_them.places
    for offset, sentence, starts, ends in zip(
        *(places[name] for name in ("offset", "text", "starts", "ends")), strict=True
    ):
        assert text[offset : offset + len(sentence)] == sentence == sentence.strip()
        covered = {place for start, end in zip(starts, ends, strict=True) for place in range(start, end)}
        assert {place for place, sign in enumerate(sentence) if not sign.isspace()} == covered


@given(documents())
def test_what_was_kept_is_kept_again_where_it_stands(document) -> None:
    text, spans = document
    first = prepare(text, spans)
    again = prepare(text, found(first, "test"))
    assert again.splits == first.splits
    assert again.counts["test"]["unaligned"] == again.counts["test"]["across_sentences"] == 0
