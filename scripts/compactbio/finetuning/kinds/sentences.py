"""Relation extraction as sentence classification: sentences to features.

Entity markers such as @GENE$ or @DISEASE$ are plain text: the vocabulary splits them as it does any other
word ("@", "GE", "##NE", "$" in the cased one), as BioBERT does. No token is added, so the embedding table and
with it every comparison between models stays as published. The setting `added_tokens` makes each marker that it
lists one token of its own instead, whose embedding starts random and is learnt in fine-tuning alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compactbio.finetuning.features import Feature, PieceTokenizer

SPECIAL_PIECES = 2  # [CLS] and [SEP]


@dataclass(frozen=True)
class SentenceFeatures:
    """One feature a sentence, with scalar target `labels`; `truncated` counts sentences cut at the limit."""

    features: list[Feature]
    truncated: int


def sentence_features(
    sentences: Sequence[str], labels: Sequence[int], tokenizer: PieceTokenizer, max_length: int
) -> SentenceFeatures:
    """Return features of [CLS] sentence [SEP], the end of a sentence cut where it passes `max_length`."""
    room = max_length - SPECIAL_PIECES
    features = []
    truncated = 0
    for encoding, label in zip(tokenizer.encode_texts(sentences), labels, strict=True):
        ids = encoding.ids
        truncated += len(ids) > room
        framed = np.asarray([tokenizer.cls, *ids[:room], tokenizer.sep], np.int64)
        features.append(Feature(framed, len(framed), {"labels": np.asarray(label, np.int64)}))
    return SentenceFeatures(features, truncated)
