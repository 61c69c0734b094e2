"""Named entities as tagged words: a word and its tag on a line, a blank line between sentences.

BioBERT's layout is the plain case: two columns, a tab, tags in BIO. A definition may say another scheme of tags, blanks
in place of the tab, and which of more columns are meant. Sentences are stored in BIO, with the labels that it lists.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from compactbio.errors import UserError
from compactbio.kinds.tag_schemes import BIO, OUTSIDE, Entity, entities_of, parse_tag, schemes_with, tags_of
from compactbio.tasks.entity_types import EntityTypes
from compactbio.tasks.prepared import Columns, Counts, Definition, Prepared
from compactbio.tasks.texts import check_label, read_lines

_DOCUMENT_START = "-DOCSTART-"
_DOCUMENT_MARK = re.compile(rf"{_DOCUMENT_START}(?!\S)|###MEDLINE:\S+\s*$")  # of CoNLL 2003, and of JNLPBA's own files
_BLANKS = re.compile(r"[ \t]+")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LineForm:
    """How a line is cut.

    Attributes:
        separator: tab or blank.
        word, tag: numbers of columns from 1; None: there are two, in this order.
        key: of the dataset in the configuration, for messages; "" where there is none.
    """

    separator: str = "tab"
    word: int | None = None
    tag: int | None = None
    key: str = ""

    def cut(self, line: str) -> tuple[str, str] | None:
        """Return the word and the tag of a line; None where it has not the columns."""
        if self.word is None or self.tag is None:
            if self.separator == "tab":
                word, _, label = line.partition("\t")
                return None if "\t" in label.strip() else (word, label.strip())
            cells = self.cells(line)
            return (cells[0], cells[1]) if len(cells) == 2 else None
        cells = self.cells(line)
        enough = len(cells) >= max(self.word, self.tag)
        return (cells[self.word - 1], cells[self.tag - 1].strip()) if enough else None

    def cells(self, line: str) -> list[str]:
        """Return what stands in the columns of a line."""
        return line.split("\t") if self.separator == "tab" else _BLANKS.split(line.strip(" \t"))

    def expected(self) -> str:
        """Return in words what a line should be."""
        between = "one tab" if self.separator == "tab" else "blanks"
        if self.word is None:
            return f"expected a word, {between} and a label"
        return f"expected columns separated by {between}, the word in column {self.word}, the label in {self.tag}"

    def advice(self, line: str) -> str:
        """Return what to do about a line that is another one."""
        columns = len(self.cells(line))
        if self.word is not None:
            return f"It has {columns} columns: correct the line, or {self.key}.columns"
        if columns > 2:
            named = f", or say {self.key}.columns: {{word: 1, tag: {columns}}}" if self.key else ""
            return f"It has {columns} columns: keep the word's and the label's, as with cut -f 1,{columns}{named}"
        if self.separator == "blank":
            return f"Correct the line, or {self.key}.separator"
        return (
            f"Columns are separated by a tab, not by spaces{f', unless {self.key}.separator is blank' * bool(self.key)}"
        )


TWO_COLUMNS = LineForm()


def line_form(definition: Definition) -> LineForm:
    """Return how the lines of a dataset are cut."""
    columns = definition.columns
    word, tag = (columns.get("word", 1), columns.get("tag", 2)) if columns else (None, None)
    return LineForm(definition.separator or "tab", word, tag, definition.key)


def read_tagged_words(path: Path, form: LineForm = TWO_COLUMNS) -> Iterator[tuple[int, str, str]]:
    """Yield (line number from 1, word, label) of the lines of a file; word and label are empty on a blank line.

    The mark before a document is the word -DOCSTART-, whatever else its line has.

    Raises:
        UserError: a line is not of this form.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if not line or line.isspace():
            yield number, "", ""
            continue
        if _DOCUMENT_MARK.match(line):
            yield number, _DOCUMENT_START, OUTSIDE
            continue
        word, label = form.cut(line) or ("", "")
        if not label:
            raise UserError(f"{path}, line {number}: {form.expected()}, found {line[:80]!r}. {form.advice(line)}")
        if not word or word.isspace():
            raise UserError(f"{path}, line {number}: a label without a word: {line[:80]!r}")
        yield number, word, label


def read_dataset(definition: Definition) -> Prepared:
    """Return a data set in this layout, its splits from the files that the definition names."""
    files, types = definition.split_files(), EntityTypes(definition)
    readings = {split: _Reading(path, definition, types) for split, path in files.items()}
    read = {split: reading.split() for split, reading in readings.items()}
    types.require_all()
    prepared = Prepared({}, {}, list(files.values()))
    for split, (columns, counts) in read.items():
        prepared.splits[split], prepared.counts[split] = columns, counts
    if definition.scheme:
        first = {split: reading.first_illegal for split, reading in readings.items() if reading.first_illegal}
        prepared.notes["scheme"] = {"read": definition.scheme, "stored": BIO, "first_illegal": first}
    return prepared


def read_split(path: Path, definition: Definition) -> tuple[Columns, Counts]:
    """Return columns (id, words, labels as ids) and counts of one file, its tags read by `tag_schemes.entities_of`.

    In BIO an I that continues nothing (after O, at a sentence's start, or after an entity of another type) so starts an
    entity. It is written as the B that it means, and counted.
    """
    return _Reading(path, definition, EntityTypes(definition)).split()


@dataclass
class _Reading:
    """The reading of one file: what its tags mean, and what was not as the scheme has it."""

    path: Path
    definition: Definition
    types: EntityTypes
    first_illegal: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    known: dict[str, tuple[str, str] | None] = field(default_factory=lambda: {OUTSIDE: None})

    @property
    def scheme(self) -> str:
        """Return the scheme of the file's tags."""
        return self.definition.scheme or BIO

    def at(self, line: int) -> str:
        """Return a place in the file, for messages."""
        return f"{self.path}, line {line}"

    def split(self) -> tuple[Columns, Counts]:
        """Return the columns and counts of the file."""
        illegal = "i_after_o" if self.scheme == BIO else "illegal_tags"
        names = ["sentences", "words", "entities", illegal, "blank_lines_extra"]
        self.counts.update(dict.fromkeys([*names, *["tags_changed"] * (self.scheme != BIO)], 0))
        columns: Columns = {"id": [], "words": [], "labels": []}
        known, key = self.definition.label_ids, f"{self.definition.key}.labels"
        for words, tags, lines in self._sentences():
            entities = self._entities(tags, lines, illegal)
            stored = tags_of(entities, len(tags), BIO)
            if self.scheme != BIO:
                self.counts["tags_changed"] += sum(a != b for a, b in zip(stored, tags, strict=True))
            self.counts["entities"] += len(entities)
            columns["words"].append(words)
            columns["labels"].append(
                [
                    known[tag] if tag in known else check_label(tag, known, self.at(line), key)
                    for tag, line in zip(stored, lines, strict=True)
                ]
            )
        if not columns["words"]:
            raise UserError(f"{self.path} holds no sentence")
        return columns, self._counted(columns, illegal)

    def _sentences(self) -> Iterator[tuple[list[str], list[str], list[int]]]:
        """Yield the words, tags and lines of each sentence, which a blank line ends, or the mark before a document."""
        words: list[str] = []
        tags: list[str] = []
        lines: list[int] = []
        read = read_tagged_words(self.path, line_form(self.definition))
        for number, word, tag in chain(read, [(0, "", "")]):  # the last sentence ends as the others
            if word and word != _DOCUMENT_START:
                if tag not in self.known:
                    self.known[tag] = self._meaning(tag, number)
                words.append(word)
                tags.append(tag)
                lines.append(number)
                continue
            if word:
                self.counts["document_marks_skipped"] += 1
            else:
                self.counts["blank_lines_extra"] += number > 0 and not words
            if words:
                yield words, tags, lines
                words, tags, lines = [], [], []

    def _meaning(self, tag: str, line: int) -> tuple[str, str] | None:
        """Return what a tag means, after refusing one of another scheme or without a label."""
        where, key = self.at(line), self.definition.key
        meaning, others = parse_tag(tag, self.scheme), schemes_with(tag)
        if meaning is None and others:
            raise UserError(
                f"{where}: {tag!r} is no tag of the scheme {self.scheme}: set {key}.scheme to the one that the file "
                f"has ({' or '.join(others)}), or correct the file"
            )
        if meaning is None:
            check_label(tag, self.definition.label_ids, where, f"{key}.labels")
        else:
            self.types.label_of(meaning[1], where)
        return meaning

    def _entities(self, tags: list[str], lines: list[int], illegal: str) -> list[Entity]:
        """Return the entities of a sentence that are kept, by the types of their labels."""
        found = entities_of([self.known[tag] for tag in tags])
        legal = tags_of(found, len(tags), self.scheme)
        for line, tag, right in zip(lines, tags, legal, strict=True):
            if tag != right and self.known[tag] != parse_tag(right, self.scheme):
                self.counts[illegal] += 1
                self.first_illegal = self.first_illegal or f"{self.path.name}, line {line}: {tag}"
        return self.types.kept(found, self.counts)

    def _counted(self, columns: Columns, illegal: str) -> Counts:
        """Return all counts of the file, and warn of tags that were not legal."""
        self.counts["sentences"] = len(columns["words"])
        columns["id"] = list(range(self.counts["sentences"]))
        by_id = Counter(chain.from_iterable(columns["labels"]))
        self.counts["words"] = by_id.total()
        if self.first_illegal:
            log.warning(
                "%s: %d tags are not legal in the scheme %s and were read by the CoNLL rule, the first in %s",
                *(self.path, self.counts[illegal], self.scheme, self.first_illegal),
            )
        return {**self.counts, "labels": {label: by_id[number] for label, number in self.definition.label_ids.items()}}
