"""Two files in BioBERT's layout, gold and predicted labels of the same words, read side by side."""

from __future__ import annotations

from itertools import groupby, zip_longest
from pathlib import Path
from typing import NamedTuple

from compactbio.errors import UserError
from compactbio.scoring.entities import LABEL_FORM, Labels, labels_of_lists, score_entities
from compactbio.tasks.tagged_words import read_tagged_words


class TaggedLine(NamedTuple):
    """A word and its label, or what ends a sentence (both empty), with the line of the file, from 1."""

    number: int
    word: str
    label: str

    def __str__(self) -> str:
        return f"has {self.word!r} in line {self.number}" if self.word else f"ends a sentence in line {self.number}"


def read_tagged_lines(path: Path) -> list[TaggedLine]:
    r"""Return the words of a file, with one line between sentences: word, tab, label; blank lines between sentences.

    Line ends may be \n or \r\n; several blank lines are as one.

    Raises:
        UserError: the file is missing, empty, not UTF-8, or a line is not of this form.
    """
    lines: list[TaggedLine] = []
    known = {""}
    for number, word, label in read_tagged_words(path):
        if label not in known and not LABEL_FORM.fullmatch(label):
            raise UserError(
                f"{path}, line {number}: {label[:80]!r} is no label: use O, B or I (or E, S), alone or with -<type>"
            )
        known.add(label)
        if word or (lines and lines[-1].word):
            lines.append(TaggedLine(number, word.strip(), label))
    return lines if lines[-1].word else lines[:-1]


def labels_of_lines(lines: list[TaggedLine]) -> Labels:
    """Return the labels of words by sentence."""
    sentences = groupby(lines, key=lambda line: bool(line.word))
    return labels_of_lists([[line.label for line in sentence] for has_words, sentence in sentences if has_words])


def score_tagged_files(gold_path: Path, predicted_path: Path) -> dict[str, float]:
    """Return precision, recall, f1 and the number of gold entities of predicted labels of words.

    Raises:
        UserError: a file is not of the layout, or the two have not the same words in the same sentences.
    """
    gold, predicted = read_tagged_lines(gold_path), read_tagged_lines(predicted_path)
    for true, found in zip_longest(gold, predicted):
        if true is None or found is None or true.word != found.word:
            raise UserError(
                f"{predicted_path} {found or 'ends'} where {gold_path} {true or 'ends'}: both files must hold the same "
                "words in the same sentences"
            )
    return score_entities(labels_of_lines(gold), labels_of_lines(predicted))
