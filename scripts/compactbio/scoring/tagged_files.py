"""Two files in BioBERT's layout, gold and predicted labels of the same words, read side by side."""

from __future__ import annotations

from itertools import groupby, zip_longest
from pathlib import Path
from typing import NamedTuple

from compactbio.errors import UserError
from compactbio.scoring.entities import LABEL_FORM, labels_of_lists, score_entities
from compactbio.tasks.tagged_words import read_tagged_words


class TaggedWords(NamedTuple):
    """Words, their labels and the lines of the file, from 1; between sentences stands an empty word and label."""

    words: list[str]
    labels: list[str]
    lines: list[int]

    def sentences(self) -> list[list[str]]:
        """Return the labels by sentence."""
        return [list(labels) for filled, labels in groupby(self.labels, bool) if filled]

    def at(self, place: int) -> str:
        """Return in words what stands at a place."""
        if place >= len(self.words):
            return "ends"
        word = self.words[place]
        return f"has {word!r} in line {self.lines[place]}" if word else f"ends a sentence in line {self.lines[place]}"


def read_tagged_file(path: Path) -> TaggedWords:
    r"""Return the words of a file: word, tab, label on a line; blank lines between sentences.

    Line ends may be \n or \r\n; several blank lines are as one.

    Raises:
        UserError: the file is missing, empty, not UTF-8, or a line is not of this form.
    """
    read = TaggedWords([], [], [])
    for line, word, label in read_tagged_words(path):
        if word or (read.words and read.words[-1]):
            read.words.append(word.strip())
            read.labels.append(label)
            read.lines.append(line)
    if not read.words[-1]:
        for column in read:
            column.pop()
    for label in dict.fromkeys(read.labels):
        if label and not LABEL_FORM.fullmatch(label):
            raise UserError(
                f"{path}, line {read.lines[read.labels.index(label)]}: {label[:80]!r} is no label: use O, B or I "
                "(or E, S), alone or with -<type>"
            )
    return read


def score_tagged_files(gold_path: Path, predicted_path: Path) -> dict[str, float]:
    """Return precision, recall, f1 and the number of gold entities of predicted labels of words.

    Raises:
        UserError: a file is not of the layout, or the two have not the same words in the same sentences.
    """
    gold, predicted = read_tagged_file(gold_path), read_tagged_file(predicted_path)
    if gold.words != predicted.words:
        pairs = zip_longest(gold.words, predicted.words)
        first = next(place for place, (true, found) in enumerate(pairs) if true != found)
        raise UserError(
            f"{predicted_path} {predicted.at(first)} where {gold_path} {gold.at(first)}: both files must hold the same "
            "words in the same sentences"
        )
    return score_entities(labels_of_lists(gold.sentences()), labels_of_lists(predicted.sentences()))
