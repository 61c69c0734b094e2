"""Micro-batches without padding, for a CPU: sequences one behind the other in one row.

Everything but attention sees the row as it is. Attention (grouped_attention.py) takes the sequences in a few groups of
similar length, each padded to its own longest: one by one they would cost more in calls than in arithmetic, all at
once more in padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from compactbio.training.cuts import cheapest_cuts

START_COST = 64  # pieces of padding that one group more is worth


@dataclass(frozen=True)
class Group:
    """Sequences that attention takes at once: `count` of them and their heads, padded to `longest`.

    `mask` is float32 (count x heads, 1, longest), the lowest number at padding and 0 elsewhere, or None.
    """

    count: int
    longest: int
    mask: Tensor | None


@dataclass(frozen=True)
class Packing:
    """Where the sequences of a packed micro-batch lie.

    A row is what one head makes of one token: row t x heads + h outside of groups. Inside, the rows of one sequence
    and head stand together, as products of matrices want them.

    Attributes:
        lengths: of the sequences in their order, ascending.
        heads: of attention.
        groups: one behind the other, over all sequences.
        row_sizes, map_sizes: how many rows, and how many values of attention maps, each group has.
        slots: int64 [padded rows], the row that each place in the padded groups holds; padding holds a first token's.
        rows: int64 [rows], the place that holds each row.
        real: float32 [padded rows, 1], 0 at padding; None where nothing is padded.
    """

    lengths: tuple[int, ...]
    heads: int
    groups: tuple[Group, ...]
    row_sizes: tuple[int, ...]
    map_sizes: tuple[int, ...]
    slots: Tensor
    rows: Tensor
    real: Tensor | None

    @property
    def first_tokens(self) -> Tensor:
        """The tokens that sequences begin with, int64 [sequences]."""
        return torch.tensor((0, *self.lengths[:-1])).cumsum(0)


def pack(lengths: Sequence[int], heads: int) -> Packing:
    """Return where sequences of these lengths, in ascending order, lie."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    groups, slots, is_real = [], [], []
    for begin, end in cheapest_cuts(lengths, START_COST):
        longest = lengths[end - 1]
        columns = np.arange(longest)
        real = columns < np.asarray(lengths[begin:end])[:, None]
        tokens = starts[begin:end, None] + np.where(real, columns, 0)
        slots.append((tokens[:, None, :] * heads + np.arange(heads)[:, None]).ravel())
        is_real.append(np.repeat(real[:, None, :], heads, axis=1).ravel())
        mask = None
        if not real.all():
            added = np.where(real, np.float32(0.0), np.finfo(np.float32).min)
            mask = torch.from_numpy(np.repeat(added, heads, axis=0)[:, None, :])
        groups.append(Group(end - begin, longest, mask))
    held, real = np.concatenate(slots), np.concatenate(is_real)
    places = np.empty(starts[-1] * heads, np.int64)
    places[held[real]] = np.flatnonzero(real)
    return Packing(
        lengths=tuple(lengths),
        heads=heads,
        groups=tuple(groups),
        row_sizes=tuple(group.count * heads * group.longest for group in groups),
        map_sizes=tuple(group.count * heads * group.longest**2 for group in groups),
        slots=torch.from_numpy(held),
        rows=torch.from_numpy(places),
        real=None if real.all() else torch.from_numpy(real.astype(np.float32)[:, None]),
    )
