"""Dynamic masking for the masked-language-model objective, vectorised over a global batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1  # of the selected tokens; the rest stays as it is
_MASKING_STREAM = 1  # keeps these random numbers apart from those of the order


@dataclass(frozen=True)
class MaskedTokens:
    """Tokens of a batch, joined: what the model reads, and which of them it has to predict."""

    inputs: np.ndarray  # (tokens,) int64
    selected: np.ndarray  # (tokens,) bool


class Masking:
    """Selects tokens at random: of the selected, 80 % become [MASK], 10 % a random token, 10 % stay.

    Special tokens are never selected. [UNK] is one of them, as in the reference code, whose collator asks the
    tokenizer for its special ids. A random token is any that the tokenizer has, special ones too, as there; ids without
    a token, in gaps (`unused_ids`) or beyond the vocabulary where a model has more embeddings, are none. A global batch
    has `batch_size` sequences of at most `max_length` tokens.
    """

    def __init__(
        self,
        *,
        fraction: float,
        vocabulary_size: int,
        unused_ids: Sequence[int] = (),
        special_ids: dict[str, int],
        batch_size: int,
        max_length: int,
        seed: int,
    ) -> None:
        self.fraction = fraction
        self.drawn_ids = np.setdiff1d(np.arange(vocabulary_size, dtype=np.int64), np.asarray(unused_ids, np.int64))
        self.mask_id = special_ids["mask"]
        self.is_special = np.zeros(vocabulary_size, dtype=bool)
        self.is_special[list(special_ids.values())] = True
        self.batch_size, self.max_length, self.seed = batch_size, max_length, seed

    def apply(self, step: int, positions: np.ndarray, lengths: np.ndarray, joined: np.ndarray) -> MaskedTokens:
        """Return a batch's tokens after masking, a pure function of (seed, step, position, token).

        The random numbers of the whole global batch are drawn (a millisecond), so that a sequence gets the same
        ones whichever process or micro-batch it falls to.

        Args:
            step: global step, from 1.
            positions: (k,) places in the global batch of the sequences at hand.
            lengths: (k,) their lengths.
            joined: (sum of lengths,) their ids in this order.
        """
        stream = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, _MASKING_STREAM, step])))
        choice, replacement = stream.random((2, self.batch_size, self.max_length), dtype=np.float32)
        rows = np.repeat(positions, lengths)
        columns = column_numbers(lengths)
        share = choice[rows, columns] / np.float32(self.fraction)
        inputs = joined.astype(np.int64)
        selected = (share < 1.0) & ~self.is_special[inputs]
        replaced = selected & (share >= MASK_SHARE) & (share < MASK_SHARE + RANDOM_SHARE)
        drawn = replacement[rows[replaced], columns[replaced]].astype(np.float64)
        inputs[selected & (share < MASK_SHARE)] = self.mask_id
        inputs[replaced] = self.drawn_ids[(drawn * len(self.drawn_ids)).astype(np.int64)]
        return MaskedTokens(inputs, selected)


def column_numbers(lengths: np.ndarray) -> np.ndarray:
    """Return 0..n-1 for each length n, joined: the place of each token within its sequence."""
    starts = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum()), dtype=np.int64) - np.repeat(starts, lengths)
