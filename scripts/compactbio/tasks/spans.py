"""From annotated documents to sentences of tagged words.

* Sentences are found by rule in each passage (`sentence_bounds.find_sentences`), or are its lines where the definition
  says so; those that the file gives are taken as they are.
* Words are what BERT's pre-tokenizer cuts: at white space, and each punctuation mark is a word.
* Neither looks at the annotations, so that nothing of the answers shows in the test data. What tags of words therefore
  cannot say is a misfit (`misfits.Misfits`): refused, or left out or widened where the definition says so, and counted.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import sha256_of_value
from compactbio.kinds.tag_schemes import BIO, tags_of
from compactbio.tasks.documents import CHARACTERS, Document, Passage, place_of
from compactbio.tasks.entity_types import EntityTypes
from compactbio.tasks.located import ACROSS_SENTENCES, Located, locate
from compactbio.tasks.misfits import Misfits
from compactbio.tasks.places import Places
from compactbio.tasks.prepared import Columns, Counts, Definition, Prepared
from compactbio.tasks.sentence_bounds import find_sentences
from compactbio.tasks.texts import describe_neighbours

LINES = "lines"  # of the key `sentences`
_WHOLE = re.compile(r"\S(?:.*\S)?", re.DOTALL)  # what white space stands around
_LINE = re.compile(r"[^\s](?:[^\r\n]*[^\s])?")

Reader = Callable[[Path, Definition], Iterator[Document]]


def read_documents(definition: Definition, read: Reader, endings: tuple[str, ...]) -> Prepared:
    """Return a data set of annotated documents.

    Args:
        definition: of the data set; a split's file may be a folder.
        read: from a file to its documents.
        endings: of the files of a folder that are read.

    Raises:
        UserError: a file is not of its form, text at offsets is not the annotation's own, or there are misfits that the
            definition does not allow.
    """
    files = {split: files_of(path, endings) for split, path in definition.split_files().items()}
    types, misfits, places = EntityTypes(definition), Misfits(definition), Places()
    prepared = Prepared({}, {}, [path for paths in files.values() for path in paths])
    documents: dict[str, dict[str, str]] = {}
    found: dict[str, dict[str, int]] = {}
    for split, paths in files.items():
        reading = _Split(definition, types, misfits, places, split)
        before = types.seen.copy()
        for path in paths:
            for document in read(path, definition):
                reading.add(document)
        prepared.splits[split], prepared.counts[split] = reading.finished(definition.file(split))
        documents[split], found[split] = reading.documents, dict(sorted((types.seen - before).items()))
    types.require_all()
    misfits.require_allowed()
    prepared.counts["test"]["documents_also_in_train"] = len(documents["test"].keys() & documents["train"])
    prepared.places = places.columns
    prepared.notes["annotations"] = {
        "offsets": definition.offsets or CHARACTERS,
        "sentences": definition.sentences or "rule",
        "misfits": misfits.policies,
        "types": found,
    }
    return prepared


def files_of(path: Path, endings: tuple[str, ...]) -> list[Path]:
    """Return a file, or the files with one of these endings in a folder, by name.

    Raises:
        UserError: the folder has none.
    """
    if not path.is_dir():
        return [path]
    files = sorted(one for one in path.iterdir() if one.name.lower().endswith(endings) and not one.name.startswith("."))
    if not files:
        raise UserError(f"{path} has no file that ends in {' or '.join(endings)}{describe_neighbours(path / '*')}")
    return files


@dataclass
class _Split:
    """One split while it is filled."""

    definition: Definition
    types: EntityTypes
    misfits: Misfits
    places: Places
    split: str
    documents: dict[str, str] = field(default_factory=dict)  # digest of the content by id
    counts: Counter[str] = field(default_factory=Counter)
    columns: Columns = field(default_factory=lambda: {"id": [], "words": [], "labels": []})

    def __post_init__(self) -> None:
        from tokenizers.pre_tokenizers import BertPreTokenizer

        self.cut = BertPreTokenizer().pre_tokenize_str
        self.unit = self.definition.offsets or CHARACTERS
        self.counts.update(dict.fromkeys(self.definition.layout.counted, 0))

    def add(self, document: Document) -> None:
        """Append the sentences of a document, unless it is a repetition of one."""
        content = sha256_of_value(repr((document.passages, document.annotations)))
        before = self.documents.get(document.name)
        if before not in (None, content):
            raise UserError(
                f"{document.where}: document {document.name} occurs in {self.split} before, with another text or other "
                "annotations: remove one"
            )
        if before:
            self.counts["repeated_documents"] += 1
            return
        self.documents[document.name] = content
        sentences = [_sentences(passage, self.definition.sentences) for passage in document.passages]
        inside = self._by_sentence(document, sentences)
        for number, passage in enumerate(document.passages):
            for place, (start, end) in enumerate(sentences[number]):
                self._add_sentence(document, passage, start, end, inside[number, place])

    def finished(self, path: Path) -> tuple[Columns, Counts]:
        """Return the columns and counts of the split."""
        if not self.columns["words"]:
            raise UserError(f"{path} holds no sentence")
        self.counts["documents"], self.counts["sentences"] = len(self.documents), len(self.columns["words"])
        self.columns["id"] = list(range(self.counts["sentences"]))
        by_id = Counter(number for labels in self.columns["labels"] for number in labels)
        self.counts["words"] = by_id.total()
        return self.columns, {
            **self.counts,
            "labels": {label: by_id[number] for label, number in self.definition.label_ids.items()},
        }

    def _by_sentence(
        self, document: Document, sentences: list[list[tuple[int, int]]]
    ) -> dict[tuple[int, int], list[Located]]:
        """Return the annotations that are kept, by (passage, sentence) in which they stand whole."""
        inside: dict[tuple[int, int], list[Located]] = defaultdict(list)
        known: set[Any] = set()
        for annotation in document.annotations:
            if not self.types.chosen(annotation.kind, self.counts):
                continue
            label = self.types.label_of(annotation.kind, f"{document.where}, document {document.name}")
            located = locate(document, annotation, label, self.definition)
            if not isinstance(located, Located):
                self.counts[located] += 1
                pieces = ", ".join(f"{start} to {end}" for start, end in annotation.spans)
                self.misfits.add(located, document, f"{annotation.name} ({annotation.kind}, {pieces})")
                continue
            key = (located.passage, located.start, located.end, annotation.kind)
            if key in known:
                self.counts["repeated_annotations"] += 1
                continue
            known.add(key)
            here = sentences[located.passage]
            first = bisect_right(here, located.start, key=lambda span: span[0]) - 1
            if first < 0 or located.end > here[first][1]:
                self.counts[ACROSS_SENTENCES] += 1
                self.misfits.add(ACROSS_SENTENCES, document, str(located))
                continue
            inside[located.passage, first].append(located)
        return inside

    def _add_sentence(
        self, document: Document, passage: Passage, start: int, end: int, annotations: list[Located]
    ) -> None:
        """Append a sentence, characters start to end of a passage."""
        text = passage.text[start:end]
        cut = self.cut(text)
        words = [word for word, _ in cut]
        borders = [place for _, place in cut]
        entities = self._entities(document, annotations, [(start + left, start + right) for left, right in borders])
        known = self.definition.label_ids
        self.columns["words"].append(words)
        self.columns["labels"].append([known[tag] for tag in tags_of(entities, len(words), BIO)])
        self.counts["entities"] += len(entities)
        offset = passage.offset + place_of(passage.text, start, self.unit)
        self.places.add(self.split, document.name, offset, text, borders)

    def _entities(
        self, document: Document, annotations: list[Located], borders: list[tuple[int, int]]
    ) -> list[tuple[int, int, str]]:
        """Return the entities of a sentence by words, whose borders are characters of the passage."""
        found = []
        for one in annotations:
            first = bisect_right(borders, one.start, key=lambda border: border[1])
            last = bisect_left(borders, one.end, key=lambda border: border[0])  # behind the last word
            if borders[first][0] < one.start or borders[last - 1][1] > one.end:
                self.counts["unaligned"] += 1
                self.misfits.add("unaligned", document, f"{one} begins or ends inside of a word")
                if not self.misfits.widens:
                    continue
            found.append((first, last, one))
        kept: list[tuple[int, int, Located]] = []
        for first, last, one in sorted(found, key=lambda entity: (entity[0] - entity[1], entity[0])):
            other = next((other for left, right, other in kept if first < right and left < last), None)
            if other is None:
                kept.append((first, last, one))
            else:
                self.counts["overlapping"] += 1
                self.misfits.add("overlapping", document, f"{one} and {other}")
        return sorted((first, last, one.label) for first, last, one in kept)


def _sentences(passage: Passage, rule: str | None) -> list[tuple[int, int]]:
    """Return the sentences of a passage as (start, end) characters, white space at their ends apart."""
    if rule != LINES and not passage.is_sentence:
        return find_sentences(passage.text)[0]
    pieces = _WHOLE.finditer(passage.text) if passage.is_sentence else _LINE.finditer(passage.text)
    return [piece.span() for piece in pieces]
