"""Named entities in BioBERT's layout: a word, a tab and its label on a line, a blank line between sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from compactbio.errors import UserError
from compactbio.tasks.prepared import Columns, Counts, Definition, Prepared
from compactbio.tasks.texts import check_label, read_lines

_DOCUMENT_START = "-DOCSTART-"


def read_tagged_words(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line number from 1, word, label) of the lines of a file; word and label are empty on a blank line.

    Raises:
        UserError: a line is not of this form.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if not line or line.isspace():
            yield number, "", ""
            continue
        word, tab, label = line.partition("\t")
        label = label.strip()
        if not tab or "\t" in label or not label:
            columns = line.count("\t") + 1
            raise UserError(
                f"{path}, line {number}: expected a word, one tab and a label, found {line[:80]!r}. "
                + (
                    f"It has {columns} columns: keep the word's and the label's, as with cut -f 1,{columns}"
                    if columns > 2
                    else "Columns are separated by a tab, not by spaces"
                )
            )
        if not word or word.isspace():
            raise UserError(f"{path}, line {number}: a label without a word: {line[:80]!r}")
        yield number, word, label


def read_dataset(definition: Definition) -> Prepared:
    """Return a data set in this layout, its splits from the files that the definition names."""
    splits, counts, files = {}, {}, definition.split_files()
    for split, path in files.items():
        splits[split], counts[split] = read_split(path, definition)
    return Prepared(splits, counts, list(files.values()))


def read_split(path: Path, definition: Definition) -> tuple[Columns, Counts]:
    """Return columns (id, words, labels as ids) and counts of one file.

    An I that continues nothing (after O, at a sentence's start, or after an entity of another type) starts an
    entity under the CoNLL rule that the scorer follows. It is written as the B that it means, and counted.
    """
    known, key = definition.label_ids, f"{definition.key}.labels"
    columns: Columns = {"id": [], "words": [], "labels": []}
    counts: Counter[str] = Counter(sentences=0, words=0, entities=0, i_after_o=0, blank_lines_extra=0)
    words: list[str] = []
    ids: list[int] = []
    previous = "O"
    for number, word, label in chain(read_tagged_words(path), [(0, "", "")]):  # the last sentence ends as the others
        if not word:
            counts["blank_lines_extra"] += number > 0 and not words
            if words:
                columns["words"].append(words)
                columns["labels"].append(ids)
            words, ids, previous = [], [], "O"
            continue
        if word == _DOCUMENT_START:
            counts["document_marks_skipped"] += 1
            continue
        check_label(label, known, f"{path}, line {number}", key)
        if label[0] == "I" and (previous == "O" or previous[1:] != label[1:]):
            label = f"B{label[1:]}"
            counts["i_after_o"] += 1
        words.append(word)
        ids.append(known[label])
        previous = label
    if not columns["words"]:
        raise UserError(f"{path} holds no sentence")
    counts["sentences"] = len(columns["words"])
    columns["id"] = list(range(counts["sentences"]))
    by_id = Counter(chain.from_iterable(columns["labels"]))
    by_label = {label: by_id[number] for label, number in known.items()}
    counts["words"] = by_id.total()
    counts["entities"] = sum(count for label, count in by_label.items() if label[0] == "B")
    return columns, {**counts, "labels": by_label}
