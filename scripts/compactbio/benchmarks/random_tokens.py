"""Token stores of random ids, whose sequences are as long as PubMed's texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from compactbio.corpus.tokens import TokenStore, TokenStoreWriter

MAX_LENGTH, SEED = 256, 42
SPECIAL_IDS = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
TOKENIZER_DIGEST = "0" * 64  # of a tokenizer that is not there
# Word pieces of a sequence, quantiles 0, 5, ... 100 %: the first 3,000 citations of pubmed21n1298 in the text mode
# `reference`, cased vocabulary, cut at 256; their mean is 156.
LENGTH_QUANTILES = (2, 21, 29, 45, 65, 76, 87, 99, 110, 127, 148, 175, 215, 254, 256, 256, 256, 256, 256, 256, 256)


def draw_lengths(count: int, seed: int) -> np.ndarray:
    """Return lengths (count,) int64 as those of PubMed's texts; the first is the longest there can be."""
    shares = np.random.default_rng(seed).random(count)
    lengths = np.interp(shares, np.linspace(0, 1, len(LENGTH_QUANTILES)), LENGTH_QUANTILES)
    lengths = np.maximum(lengths.round().astype(np.int64), 4)
    lengths[0] = MAX_LENGTH  # a random batch of 24 practically always has one, and is padded to it
    return lengths


def write_store(folder: Path, lengths: np.ndarray, vocabulary: int, *, max_length: int = MAX_LENGTH) -> TokenStore:
    """Write a token store of random ids with these lengths, cut at the maximal one, and open it; ids decide no time."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(SEED)
    writer = TokenStoreWriter(folder, vocabulary_size=vocabulary, special_ids=SPECIAL_IDS, max_length=max_length)
    ids = [random.integers(len(SPECIAL_IDS), vocabulary, length) for length in np.minimum(lengths, max_length)]
    writer.append([SPECIAL_IDS["cls"], *row[2:].tolist(), SPECIAL_IDS["sep"]] for row in ids)
    writer.finish(tokenizer_digest=TOKENIZER_DIGEST)
    return TokenStore([folder])
