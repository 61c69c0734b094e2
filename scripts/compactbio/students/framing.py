"""The special tokens around one text and around two, as a tokenizer's own template has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from compactbio.errors import UserError

PROBE = "a"


@dataclass(frozen=True)
class Frame:
    """Ids before, between and behind texts.

    Attributes:
        single: before and behind one text.
        pair: before, between and behind two texts.
        second_type: token type of the second text and what follows it; all before has type 0.
    """

    single: tuple[list[int], list[int]]
    pair: tuple[list[int], list[int], list[int]]
    second_type: int

    @property
    def pieces(self) -> int:
        """Special pieces of a sequence with one text."""
        return sum(map(len, self.single))

    @property
    def pair_pieces(self) -> int:
        """Special pieces of a sequence with two texts."""
        return sum(map(len, self.pair))

    def one(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the sequence of one text, int64."""
        before, behind = self.single
        return np.asarray([*before, *ids, *behind], np.int64)

    def two(self, first: Sequence[int], second: Sequence[int]) -> tuple[np.ndarray, int, int]:
        """Return the sequence of two texts, int64, the place where the second begins, and how many have type 0."""
        before, between, behind = self.pair
        head = [*before, *first, *between]
        ids = np.asarray([*head, *second, *behind], np.int64)
        return ids, len(head), len(head) if self.second_type else len(ids)

    def around(self, texts: Sequence[Sequence[int]]) -> tuple[np.ndarray, int]:
        """Return the sequence of one text or of two, int64, and how many of its pieces have type 0."""
        if len(texts) == 1:
            ids = self.one(texts[0])
            return ids, len(ids)
        ids, _, first_segment = self.two(*texts)
        return ids, first_segment


def bert_frame(cls: int, sep: int) -> Frame:
    """Return BERT's frame: `[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]`, B and what follows it of token type 1."""
    return Frame(([cls], [sep]), ([cls], [sep], [sep]), 1)


def read_frame(tokenizer: Tokenizer, cls: int | None, sep: int | None, where: str) -> Frame:
    """Return the frame of a tokenizer; BERT's, of the ids `cls` and `sep`, where it has no template.

    Raises:
        UserError: nothing stands before a text, so that no piece is there for the whole of it, or token types are none
            that a model here takes.
    """
    single, _ = _parts(tokenizer, pair=False)
    if not any(single):
        if cls is None or sep is None:
            raise UserError(f"{where} puts no special tokens around a text, and names neither cls_token nor sep_token")
        return bert_frame(cls, sep)
    pair, types = _parts(tokenizer, pair=True)
    if len(single) != 2 or len(pair) != 3 or not single[0] or not pair[0]:
        raise UserError(
            f"{where} puts no special token before a text: tasks here read a sequence's first token, so that only "
            "models with one (as [CLS] or <s>) can be trained"
        )
    if types not in ([0], [0, 1]):
        raise UserError(
            f"{where} gives pieces the token types {types}; only 0, and 1 from the second text on, are known"
        )
    return Frame((single[0], single[1]), (pair[0], pair[1], pair[2]), len(types) - 1)


def _parts(tokenizer: Tokenizer, *, pair: bool) -> tuple[list[list[int]], list[int]]:
    """Return the special ids before, between and behind texts, and the token types in order, repetitions left out."""
    made = tokenizer.encode(PROBE, PROBE if pair else None)
    parts: list[list[int]] = [[]]
    last: int | None = None
    for number, owner in zip(made.ids, made.sequence_ids, strict=True):
        if owner is None:
            parts[-1].append(number)
        elif owner != last:
            parts.append([])
            last = owner
    types = [kind for place, kind in enumerate(made.type_ids) if not place or kind != made.type_ids[place - 1]]
    return parts, types
