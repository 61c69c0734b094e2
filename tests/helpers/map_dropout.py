"""The draws of the kernels for attention maps, written a second time in numpy: Philox 4x32-10 and the mix of bits."""

from __future__ import annotations

import numpy as np
import torch

WORD = 2**32


def philox(seed: int, counter: np.ndarray) -> list[np.ndarray]:
    """Four words of Philox 4x32-10 (Salmon et al. 2011) for counters (counter, 0, 0, 0)."""
    words = [counter.astype(np.uint64) % WORD, *(np.zeros(counter.shape, np.uint64) for _ in range(3))]
    keys = [seed % WORD, seed // WORD]
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * words[0], np.uint64(0xCD9E8D57) * words[2]
        words = [
            (second // WORD) ^ words[1] ^ np.uint64(keys[0]),
            second % WORD,
            (first // WORD) ^ words[3] ^ np.uint64(keys[1]),
            first % WORD,
        ]
        keys = [(keys[0] + 0x9E3779B9) % WORD, (keys[1] + 0xBB67AE85) % WORD]
    return words


def bits(seed: int, tokens: int, heads: int, keys: int) -> np.ndarray:
    """32 bits for each (token, head, key)."""
    places = np.arange(tokens * heads).reshape(tokens, heads)
    first, second, _, _ = philox(seed, places)
    mixed = first[..., None] ^ (np.arange(keys, dtype=np.uint64) * 0x9E3779B9 % WORD)
    mixed ^= mixed >> 16
    mixed = mixed * 0x7FEB352D % WORD
    mixed ^= mixed >> 15
    mixed = (mixed + second[..., None]) % WORD
    mixed = mixed * 0x846CA68B % WORD
    return mixed ^ (mixed >> 16)


def factors(seed: int, count: int, heads: int, length: int, dropout: float) -> torch.Tensor:
    """What maps (count, heads, length, length) of a padded micro-batch are multiplied with, float64."""
    threshold = round(dropout * 2**24)
    drawn = (bits(seed, count * length, heads, length) >> 8) >= threshold
    kept = torch.from_numpy(drawn).double() * 2**24 / (2**24 - threshold)
    return kept.view(count, length, heads, length).transpose(1, 2)
