"""Characters of a text that pieces and words stand at, for tokenizers that read blanks."""

from __future__ import annotations

import numpy as np
from tokenizers import Encoding
from tokenizers.pre_tokenizers import BertPreTokenizer

_WORDS = BertPreTokenizer()


def piece_characters(text: str, encoding: Encoding, *, trimmed: bool) -> np.ndarray:
    """Return where pieces begin and end, int64 [pieces, 2]; `trimmed`: blanks at a piece's edges are no part of it."""
    offsets = np.asarray(encoding.offsets, np.int64).reshape(-1, 2)
    if not trimmed or not len(offsets):
        return offsets
    places = np.arange(len(text) + 1)
    solid = np.fromiter((not character.isspace() for character in text), bool, len(text))
    # of each place the first character at or behind it, and the end of the last one before it, that is no blank
    following = np.minimum.accumulate(np.where(np.append(solid, True), places, len(text))[::-1])[::-1]
    preceding = np.maximum.accumulate(np.where(np.insert(solid, 0, True), places, 0))
    starts = following[offsets[:, 0]]
    return np.stack([starts, np.maximum(preceding[offsets[:, 1]], starts)], axis=1)


def word_characters_of_text(text: str, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return per piece, whose offsets are trimmed, where the words begin and end that it is a part of.

    Words are those of BERT's tokenizer, apart at blanks and punctuation, so that answers of all models begin and end at
    the same places: SentencePiece's own would hold the brackets and commas beside a word.
    """
    words = np.asarray([span for _, span in _WORDS.pre_tokenize_str(text)], np.int64).reshape(-1, 2)
    if not len(words):
        return offsets[:, 0], offsets[:, 1]
    first = np.searchsorted(words[:, 0], offsets[:, 0], side="right") - 1
    last = np.searchsorted(words[:, 1], offsets[:, 1], side="left")
    return words[np.maximum(first, 0), 0], words[np.minimum(last, len(words) - 1), 1]
