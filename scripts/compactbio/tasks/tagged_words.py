"""Named entities in BioBERT's layout: a word, a tab and its label on a line, a blank line between sentences."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.tasks.counts import count_shared
from compactbio.tasks.prepared import Columns, Definition, Prepared
from compactbio.tasks.texts import check_label, read_lines

_DOCUMENT_START = "-DOCSTART-"


def read_dataset(definition: Definition) -> Prepared:
    """Return a data set in this layout, its splits from the files that the definition names."""
    splits, counts = {}, {}
    for split in definition.splits():
        splits[split], counts[split] = read_split(definition.file(split), definition.labels, f"{definition.key}.labels")
    seen = {tuple(words) for words in splits["train"]["words"]}
    counts["test"]["also_in_train"] = count_shared(seen, map(tuple, splits["test"]["words"]))
    return Prepared(splits, counts, [definition.file(split) for split in splits])


def read_split(path: Path, labels: tuple[str, ...], key: str) -> tuple[Columns, dict[str, Any]]:
    """Return columns (id, words, labels as ids) and counts of one file.

    An I that continues nothing (after O, at a sentence's start, or after an entity of another type) starts an
    entity under the CoNLL rule that the scorer follows. It is written as the B that it means, and counted.

    Args:
        path: the file.
        labels: the known labels; their order gives the ids.
        key: the configuration key of the labels, for messages.
    """
    known = {label: number for number, label in enumerate(labels)}
    columns: Columns = {"id": [], "words": [], "labels": []}
    counts: Counter[str] = Counter(sentences=0, words=0, entities=0, i_after_o=0, blank_lines_extra=0)
    by_label: Counter[str] = Counter()
    words: list[str] = []
    ids: list[int] = []
    previous = "O"

    def close_sentence() -> None:
        """Store the sentence read so far, if there is one."""
        nonlocal words, ids, previous
        if words:
            columns["id"].append(len(columns["id"]))
            columns["words"].append(words)
            columns["labels"].append(ids)
        words, ids, previous = [], [], "O"

    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            counts["blank_lines_extra"] += not words
            close_sentence()
            continue
        word, tab, label = line.partition("\t")
        label = label.strip()
        if not tab or "\t" in label or not label:
            raise UserError(
                f"{path}, line {number}: expected a word, one tab and a label, found {line[:80]!r}. "
                "Columns are separated by a tab, not by spaces"
            )
        if not word.strip():
            raise UserError(f"{path}, line {number}: a label without a word: {line[:80]!r}")
        if word == _DOCUMENT_START:
            counts["document_marks_skipped"] += 1
            continue
        check_label(label, known, path, number, key)
        if label[0] == "I" and (previous == "O" or previous[1:] != label[1:]):
            label = f"B{label[1:]}"
            counts["i_after_o"] += 1
        counts["entities"] += label[0] == "B"
        by_label[label] += 1
        words.append(word)
        ids.append(known[label])
        previous = label
    close_sentence()
    if not columns["id"]:
        raise UserError(f"{path} holds no sentence")
    counts["sentences"] = len(columns["id"])
    counts["words"] = sum(by_label.values())
    return columns, {**counts, "labels": {label: by_label[label] for label in labels}}
