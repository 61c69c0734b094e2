"""Two files in BioBERT's layout, gold and predicted labels of the same words, read side by side."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from compactbio.errors import UserError
from compactbio.scoring.entities import LABEL_FORM, labels_of_lists, score_entities
from compactbio.tasks.tagged_words import read_tagged_words


class TaggedSentence(NamedTuple):
    """Words, their labels, and the lines of the file on which they stand; lists of equal length."""

    words: list[str]
    labels: list[str]
    lines: list[int]


def read_tagged_sentences(path: Path) -> list[TaggedSentence]:
    r"""Return the sentences of a file: word, tab, label on a line; blank lines between sentences.

    Line ends may be \n or \r\n; several blank lines are as one.

    Raises:
        UserError: the file is missing, empty, not UTF-8, or a line is not of this form.
    """
    sentences = [TaggedSentence([], [], [])]
    known: set[str] = set()
    for number, word, label in read_tagged_words(path):
        if not word:
            sentences.append(TaggedSentence([], [], []))
            continue
        if label not in known and not LABEL_FORM.fullmatch(label):
            raise UserError(
                f"{path}, line {number}: {label[:80]!r} is no label: use O, B or I (or E, S), alone or with -<type>"
            )
        known.add(label)
        sentence = sentences[-1]
        sentence.words.append(word.strip())
        sentence.labels.append(label)
        sentence.lines.append(number)
    return [sentence for sentence in sentences if sentence.words]


def score_tagged_files(gold_path: Path, predicted_path: Path) -> dict[str, float]:
    """Return precision, recall, f1 and the number of gold entities of predicted labels of words.

    Raises:
        UserError: a file is not of the layout, or the two have not the same words in the same sentences.
    """
    gold, predicted = read_tagged_sentences(gold_path), read_tagged_sentences(predicted_path)
    _check_same_words(gold, predicted, gold_path, predicted_path)
    return score_entities(
        labels_of_lists([sentence.labels for sentence in gold]),
        labels_of_lists([sentence.labels for sentence in predicted]),
    )


def _check_same_words(
    gold: list[TaggedSentence], predicted: list[TaggedSentence], gold_path: Path, predicted_path: Path
) -> None:
    """Refuse files that differ in words or sentences, naming the first place where they do."""
    for number, (true, found) in enumerate(zip(gold, predicted, strict=False), start=1):
        if true.words == found.words:
            continue
        for place, (word, other) in enumerate(zip(true.words, found.words, strict=False)):
            if word != other:
                raise UserError(
                    f"{predicted_path}, line {found.lines[place]}: word {other!r} where {gold_path}, line "
                    f"{true.lines[place]}, has {word!r}: both files must hold the same words in the same order"
                )
        raise UserError(
            f"{predicted_path}: sentence {number}, from line {found.lines[0]}, has {len(found.words)} words where "
            f"{gold_path}, from line {true.lines[0]}, has {len(true.words)}: both files must hold the same words"
        )
    if len(gold) != len(predicted):
        longer, path = (gold, gold_path) if len(gold) > len(predicted) else (predicted, predicted_path)
        first = longer[min(len(gold), len(predicted))].lines[0]
        raise UserError(
            f"{predicted_path} has {len(predicted)} sentences where {gold_path} has {len(gold)}: the first without "
            f"a counterpart begins at line {first} of {path}"
        )
