"""Named entities: the spans in label sequences and their strict match, equal to seqeval's default mode.

Everything works on arrays over all sentences joined, so that a test set of 130,000 words takes milliseconds
where seqeval's loop takes seconds. tests/unit/test_scoring_entities.py compares the two on random sequences.

Default mode is the CoNLL-2000 rule, not strict IOB2: an I that continues nothing starts an entity.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from compactbio.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

LABEL_FORM = re.compile(r"O|[BIES](-.+)?")
OUTSIDE, BEGIN, INSIDE, END, SINGLE = range(5)
_TAG_OF_LETTER = {"O": OUTSIDE, "B": BEGIN, "I": INSIDE, "E": END, "S": SINGLE}


@dataclass(frozen=True)
class Labels:
    """Label sequences of many sentences, joined.

    Attributes:
        codes: int64 [total], places in `names`.
        names: the distinct labels.
        offsets: int64 [sentences + 1], where each sentence begins; the last one is the total.
    """

    codes: np.ndarray
    names: tuple[str, ...]
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Labels per sentence, int64 [sentences]."""
        return np.diff(self.offsets)

    def first_of_each(self, limit: int) -> Labels:
        """Return the same with at most the first `limit` labels of each sentence."""
        places = np.arange(len(self.codes)) - np.repeat(self.offsets[:-1], self.lengths)
        return Labels(self.codes[places < limit], self.names, offsets_of(np.minimum(self.lengths, limit)))


@dataclass(frozen=True)
class Spans:
    """Entities by rising start: int64 arrays of equal length; `ends` are exclusive.

    A position is the label's index over all sentences joined, plus the number of its sentence.
    """

    starts: np.ndarray
    ends: np.ndarray
    types: np.ndarray


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Return int64 [n + 1], the running total of lengths from 0."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def labels_of_lists(sentences: Sequence[Sequence[str]]) -> Labels:
    """Return labels given as one list of names per sentence."""
    lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
    code_of_name = {name: code for code, name in enumerate(dict.fromkeys(chain.from_iterable(sentences)))}
    joined = chain.from_iterable(sentences)
    codes = np.fromiter(map(code_of_name.__getitem__, joined), np.int64, int(lengths.sum()))
    return Labels(codes, tuple(code_of_name), offsets_of(lengths))


def labels_of_column(column: pa.ListArray | pa.LargeListArray) -> Labels:
    """Return labels given as an Arrow column of lists of strings, without nulls."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = column.flatten()
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    return Labels(codes, tuple(encoded.dictionary.to_pylist()), offsets_of(lengths))


def find_spans(labels: Labels, type_codes: dict[str, int]) -> Spans:
    """Return the entities of label sequences by the rules of conlleval, which seqeval's default mode follows.

    A span starts at B or S, at any label but O after O, E or S, and where the type changes; it ends before B, S
    or O, after E or S, and where the type changes. A start inside a span is thus its end as well, and starts and
    ends pair off in order.

    Args:
        labels: every name of the form O, B, I, E, S, with -type or without.
        type_codes: {type: code}, gets the types that it lacks.
    """
    tag_of_name = np.array([_TAG_OF_LETTER[name[0]] for name in labels.names], np.int64)
    type_of_name = np.array([type_codes.setdefault(name[2:], len(type_codes)) for name in labels.names], np.int64)
    # An O before, between and after the sentences keeps spans from running across: word i of all moves to place
    # i + 1 + (number of its sentence).
    count = len(labels.codes)
    sentence = np.repeat(np.arange(len(labels.lengths)), labels.lengths)
    place = np.arange(1, count + 1) + sentence
    tags = np.full(count + len(labels.lengths) + 1, OUTSIDE, np.int64)
    types = np.zeros_like(tags)
    if count:
        tags[place] = tag_of_name[labels.codes]
        types[place] = type_of_name[labels.codes]
    before, here = tags[:-1], tags[1:]
    other_type = types[:-1] != types[1:]
    closed = (before == END) | (before == SINGLE)
    opening = (here == BEGIN) | (here == SINGLE)
    ends = (before != OUTSIDE) & (closed | opening | (here == OUTSIDE) | other_type)
    starts = (here != OUTSIDE) & (closed | opening | (before == OUTSIDE) | other_type)
    begins = np.flatnonzero(starts)  # index p compares places p and p + 1
    return Spans(begins, np.flatnonzero(ends), types[begins + 1])


@dataclass(frozen=True)
class Matches:
    """The right, the predicted and the gold entities of two label sequences, in this order: see `match_entities`.

    Attributes:
        starts: of the entities, in the positions of spans.
        types: of the entities, places in `type_names`.
        begins: int64 [sentences], where the sentences begin, in the positions of spans.
        type_names: "" for a label without a type.
    """

    starts: tuple[np.ndarray, ...]
    types: tuple[np.ndarray, ...]
    begins: np.ndarray
    type_names: tuple[str, ...]

    def by_sentence(self) -> np.ndarray:
        """Return int64 [sentences, 3]: how many entities of each sort a sentence has."""
        sentences = (np.searchsorted(self.begins, starts, side="right") - 1 for starts in self.starts)
        return np.stack([np.bincount(one, minlength=len(self.begins)) for one in sentences], axis=1)

    def by_type(self) -> dict[str, np.ndarray]:
        """Return int64 [3] by type: how many entities of each sort it has."""
        counts = np.stack([np.bincount(types, minlength=len(self.type_names)) for types in self.types], axis=1)
        return dict(zip(self.type_names, counts, strict=True))


def match_entities(gold: Labels, predicted: Labels) -> Matches:
    """Return the entities of two label sequences; right means same start, end and type.

    Raises:
        UserError: a name is no label of the scheme.
        ValueError: the two sides differ in sentences or in their lengths.
    """
    if not np.array_equal(gold.offsets, predicted.offsets):
        raise ValueError("gold and predicted labels have not the same sentence lengths")
    wrong = [name for name in (*gold.names, *predicted.names) if not LABEL_FORM.fullmatch(name)]
    if wrong:
        raise UserError(
            f"label {wrong[0]!r} is not O, B or I (or E, S), alone or with -<type>: entities cannot be found in it"
        )
    type_codes: dict[str, int] = {}
    true, found = find_spans(gold, type_codes), find_spans(predicted, type_codes)
    common, in_true, in_found = np.intersect1d(true.starts, found.starts, assume_unique=True, return_indices=True)
    same = (true.ends[in_true] == found.ends[in_found]) & (true.types[in_true] == found.types[in_found])
    return Matches(
        (common[same], found.starts, true.starts),
        (true.types[in_true[same]], found.types, true.types),
        gold.offsets[:-1] + np.arange(len(gold.lengths)),
        tuple(type_codes),
    )


def count_entities(gold: Labels, predicted: Labels) -> np.ndarray:
    """Return int64 [sentences, 3]: the right, the predicted and the gold entities; errors as of `match_entities`."""
    return match_entities(gold, predicted).by_sentence()


def score_entities(gold: Labels, predicted: Labels) -> dict[str, float]:
    """Return the scores of predicted labels; errors and counts are those of `count_entities`."""
    return scores_of_counts(count_entities(gold, predicted))


def scores_of_counts(counts: np.ndarray) -> dict[str, float]:
    """Return precision, recall, f1 and the number of gold entities from counts [..., 3] as `Matches` gives them.

    Micro-averaged, fractions in [0, 1], 0 where a denominator is 0. The order of operations is seqeval's, so that the
    last digit agrees too.
    """
    correct, found, entities = map(int, np.atleast_2d(counts).sum(axis=0))
    precision = correct / found if found else 0.0
    recall = correct / entities if entities else 0.0
    total = precision + recall
    f1 = 2.0 * precision * recall / total if total else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "entities": entities}


def labels_of_pieces(words: Labels, piece_words: np.ndarray, piece_offsets: np.ndarray) -> Labels:
    """Return each word piece's label, which is its word's: the reference protocol repeats B on every piece.

    Args:
        words: labels per word.
        piece_words: int64 [pieces], the index in its sentence of the word each piece belongs to.
        piece_offsets: int64 [sentences + 1], where each sentence's pieces begin.
    """
    begins = np.repeat(words.offsets[:-1], np.diff(piece_offsets))
    return Labels(words.codes[begins + piece_words], words.names, piece_offsets)


def match_pieces(gold: Labels, predicted: Labels, piece_words: np.ndarray, piece_limit: int) -> Matches:
    """Return the entities of the reference protocol, whose unit is the word piece; as `match_entities`.

    As in the reference script, a sentence is cut at the model's limit, and nothing beyond it counts.

    Args:
        gold, predicted: labels per word and per piece.
        piece_words: as in `labels_of_pieces`, the offsets being those of `predicted`.
        piece_limit: pieces of a sentence that count: the maximal length less [CLS] and [SEP].
    """
    repeated = labels_of_pieces(gold, piece_words, predicted.offsets)
    return match_entities(repeated.first_of_each(piece_limit), predicted.first_of_each(piece_limit))
