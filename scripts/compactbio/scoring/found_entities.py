"""Entities that a run found, in the form that people bring them: tagged words in any scheme, or spans of documents."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compactbio.digests import AGAIN
from compactbio.errors import UserError
from compactbio.files import MANIFEST, read_json, replacing_file
from compactbio.kinds.tag_schemes import BIO, OUTSIDE, Entity, entities_of, lost_borders, parse_tag, tags_of
from compactbio.scoring.finetuned import NOT_THESE_DATA, Finetuned
from compactbio.scoring.predictions import in_order
from compactbio.tasks.documents import place_of
from compactbio.tasks.places import PLACES, read_places

log = logging.getLogger(__name__)


def tagged_words(finetuned: Finetuned, run: str, scheme: str) -> Iterator[str]:
    """Yield the lines of a file of the test sentences: word, tab, tag in a scheme; a blank line behind each sentence.

    Entities that the scheme cannot tell from the one before them are counted in a warning.
    """
    lost = 0
    for words, entities in zip(finetuned.test["words"], _by_sentence(finetuned, run), strict=True):
        lost += lost_borders(entities, scheme)
        for word, tag in zip(words, tags_of(entities, len(words), scheme), strict=True):
            yield f"{word}\t{tag}"
        yield ""
    if lost:
        log.warning("%d entities begin where one of their type ends, which the scheme %s cannot say", lost, scheme)


def document_spans(finetuned: Finetuned, run: str) -> Iterator[str]:
    """Yield a line of JSON for each test document: its id and its entities (start, end, label, text).

    Offsets count as those of the files did that the dataset was prepared from.

    Raises:
        UserError: the dataset was not prepared from documents.
    """
    places = read_places(finetuned.task_folder, "test")
    if places is None:
        raise UserError(
            f"{finetuned.task_folder} has no {PLACES}: its layout has sentences, not documents; say --scheme to write "
            "tagged words"
        )
    rows, found = places.to_pylist(), _by_sentence(finetuned, run)
    if [len(row["starts"]) for row in rows] != [len(words) for words in finetuned.test["words"]]:
        raise UserError(f"{finetuned.task_folder / PLACES} is not of its data: prepare the dataset again")
    remake = f"delete {finetuned.task_folder} and {AGAIN}"
    unit = read_json(finetuned.task_folder / MANIFEST, dict[str, Any], remake)["annotations"]["offsets"]
    documents: dict[str, list[dict[str, Any]]] = {row["document"]: [] for row in rows}
    for row, entities in zip(rows, found, strict=True):
        for first, last, kind in entities:
            start, end = row["starts"][first], row["ends"][last - 1]
            places = [row["offset"] + place_of(row["text"], character, unit) for character in (start, end)]
            span = {"start": places[0], "end": places[1], "label": kind, "text": row["text"][start:end]}
            documents[row["document"]].append(span)
    for name, spans in documents.items():
        yield json.dumps({"id": name, "entities": spans}, ensure_ascii=False)


def write_lines(path: Path, lines: Iterator[str]) -> None:
    """Write lines as a file that is complete when it is there."""
    with replacing_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{line}\n" for line in lines)


def _by_sentence(finetuned: Finetuned, run: str) -> list[list[Entity]]:
    """Return the entities that a run found in each test sentence."""
    what = finetuned.what(run)
    if "predicted" not in finetuned.kind.predictions.columns or "words" not in finetuned.kind.columns:
        raise UserError(f"{what}: task {finetuned.kind.name} has no tags of words; give results of another task")
    table = in_order(finetuned.predictions.read_run(run), finetuned.test["id"], what)
    found = []
    for tags, words in zip(table.column("predicted").to_pylist(), finetuned.test["words"], strict=True):
        if len(tags) != len(words):
            raise UserError(f"{what}: a sentence has {len(tags)} tags for {len(words)} words: {NOT_THESE_DATA}")
        finetuned.check_labels(tags, what)
        found.append(entities_of([None if tag == OUTSIDE else parse_tag(tag, BIO) for tag in tags]))
    return found
