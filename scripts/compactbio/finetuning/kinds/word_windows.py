"""Named entities: words to pieces, long sentences in windows, and pieces back to one label a word.

A sentence longer than the limit is cut into windows of whole words that overlap by a quarter. Every word
belongs to exactly one window, the one that shows most context on its shorter side: there its pieces count in
the loss, and from there its prediction comes. So no word is lost past the limit and none counts twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compactbio.finetuning.features import IGNORED, Feature, PieceTokenizer
from compactbio.finetuning.kinds.task_kind import Features

OVERLAP = 0.25  # of a window's room, shown again in the next window


@dataclass(frozen=True)
class WordWindows:
    """Where the pieces of the windows come from.

    Attributes:
        piece_words: per window int64 [length], the word's index over all sentences joined, -1 where the
            piece is special or its word belongs to another window.
        sentence_offsets: int64 [sentences + 1], the joined index at which each sentence begins.
    """

    piece_words: list[np.ndarray]
    sentence_offsets: np.ndarray


@dataclass(frozen=True)
class WordPredictions:
    """One label a word, over all sentences joined, and the labels of their pieces in reading order."""

    labels: np.ndarray
    scores: np.ndarray
    piece_words: np.ndarray
    piece_labels: np.ndarray
    piece_scores: np.ndarray


def word_windows(
    sentences: Sequence[Sequence[str]],
    labels: Sequence[Sequence[int]],
    tokenizer: PieceTokenizer,
    max_length: int,
    labelled_pieces: str,
) -> Features:
    """Return the features of sentences given as words with one label id each; their origin is `WordWindows`.

    The target `labels` is IGNORED at special pieces, at words of other windows and, with labelled_pieces `first`, at
    continuation pieces. Noted are sentences that needed more than one window, words of more pieces than a window has
    room for, whose last pieces are left out, words that the tokenizer turns into nothing, and sentences of such words.

    Args:
        max_length: pieces of a window, special ones included.
        labelled_pieces: `all` (every piece carries its word's label) or `first`.
    """
    frame = tokenizer.frame
    room = max_length - frame.pieces
    features: list[Feature] = []
    origins: list[np.ndarray] = []
    offsets = np.zeros(len(sentences) + 1, np.int64)
    notes = dict.fromkeys(("split_sentences", "cut_words", "empty_words", "empty_sentences"), 0)
    for number, encoding in enumerate(tokenizer.encode_words(sentences)):
        count = len(sentences[number])
        offsets[number + 1] = offsets[number] + count
        ids = np.asarray(encoding.ids, np.int64)
        words = np.asarray(encoding.word_ids, np.int64)
        lengths = np.bincount(words, minlength=count) if len(words) else np.zeros(count, np.int64)
        notes["empty_words"] += int((lengths == 0).sum())
        notes["cut_words"] += int((lengths > room).sum())
        if not len(ids):
            notes["empty_sentences"] += 1
            continue
        first_piece = np.concatenate([[0], np.cumsum(lengths)])
        of_words = np.asarray(labels[number], np.int64)
        windows = split_words(lengths, room)
        notes["split_sentences"] += len(windows) > 1
        owner = window_of_words(lengths, windows)
        for index, (begin, end) in enumerate(windows):
            pieces = slice(first_piece[begin], min(first_piece[end], first_piece[begin] + room))
            window_words = words[pieces]
            owned = owner[window_words] == index
            target = np.where(owned, of_words[window_words], IGNORED)
            if labelled_pieces == "first":
                target[np.arange(pieces.start, pieces.stop) != first_piece[window_words]] = IGNORED
            origin = np.where(owned, window_words + offsets[number], -1)
            framed = frame.one(ids[pieces])
            before, behind = map(len, frame.single)
            edges = [(before, behind)]
            labels_of_pieces = np.pad(target, edges, constant_values=IGNORED)
            features.append(Feature(framed, len(framed), {"labels": labels_of_pieces}))
            origins.append(np.pad(origin, edges, constant_values=-1))
    return Features(features, WordWindows(origins, offsets), notes)


def split_words(lengths: np.ndarray, room: int) -> list[tuple[int, int]]:
    """Return word ranges [begin, end) of at most `room` pieces that cover all words and overlap by OVERLAP.

    A word of more pieces than `room` stands alone in its range, which is then longer than `room`.
    """
    count = len(lengths)
    windows: list[tuple[int, int]] = []
    begin = 0
    while True:
        end, pieces = begin, 0
        while end < count and (end == begin or pieces + lengths[end] <= room):
            pieces += lengths[end]
            end += 1
        windows.append((begin, end))
        if end == count:
            return windows
        repeated, next_begin = 0, end
        while next_begin - 1 > begin and repeated + lengths[next_begin - 1] <= room * OVERLAP:
            next_begin -= 1
            repeated += lengths[next_begin]
        # A next word that fills the window leaves no room for repeated ones: start at it, or nothing is gained.
        begin = next_begin if repeated + lengths[end] <= room else end


def window_of_words(lengths: np.ndarray, windows: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return int64 [words]: the window in which each word has most context on its shorter side.

    The sentence's own ends limit no context; on a tie the earlier window has the word.
    """
    ends = np.cumsum(lengths)
    starts = ends - lengths
    best = np.full(len(lengths), -1.0)
    owner = np.zeros(len(lengths), np.int64)
    for index, (begin, end) in enumerate(windows):
        inside = slice(begin, end)
        left = starts[inside] - starts[begin] if begin else np.full(end - begin, np.inf)
        right = ends[end - 1] - ends[inside] if end < len(lengths) else np.full(end - begin, np.inf)
        context = np.minimum(left, right)
        better = context > best[inside]
        owner[inside][better] = index
        best[inside][better] = context[better]
    return owner


def join_words(
    windows: WordWindows, labels: Sequence[np.ndarray], scores: Sequence[np.ndarray], outside: int
) -> WordPredictions:
    """Return predictions per word from predictions per piece of the windows.

    Args:
        windows: the origin of what `word_windows` returns.
        labels: per window int64 [length], predicted label ids.
        scores: per window float32 [length], their probabilities.
        outside: id of `O`, given with score 0 to words without pieces.
    """
    total = int(windows.sentence_offsets[-1])
    words = _joined(windows.piece_words, np.int64)
    counted = words >= 0
    # Stable: the pieces of a word come from one window and keep their order in it.
    order = np.argsort(words[counted], kind="stable")
    words = words[counted][order]
    piece_labels = _joined(labels, np.int64)[counted][order]
    piece_scores = _joined(scores, np.float32)[counted][order]
    with_pieces, first = np.unique(words, return_index=True)
    of_words = np.full(total, outside, np.int64)
    of_words[with_pieces] = piece_labels[first]
    word_scores = np.zeros(total, np.float32)
    word_scores[with_pieces] = piece_scores[first]
    return WordPredictions(of_words, word_scores, words, piece_labels, piece_scores)


def _joined(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    """Return arrays one after the other; empty if there are none."""
    return np.concatenate([np.asarray(array, dtype) for array in arrays]) if arrays else np.empty(0, dtype)
