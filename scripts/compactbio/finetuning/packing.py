"""Micro-batches without padding, for processors: sequences one behind the other in one row.

Everything but attention sees the row as it is. Attention takes the sequences in a few groups of similar length, each
padded to its own longest: one by one they would cost more in calls than in arithmetic, all at once more in padding. A
GPU gains nothing from this and is given padded micro-batches (batching.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

from compactbio.finetuning.cuts import cheapest_cuts
from compactbio.pretraining.attention import attention_with_dropout
from compactbio.pretraining.packing import TrigramBorders, sees_neighbours

# transformers treats names that hold "flash", "sdpa" or "flex" in ways of their own
ATTENTION = "compactbio_grouped"
START_COST = 128  # pieces of padding that one group more is worth
ENCODERS = ("encoder", "transformer")  # BERT's and MobileBERT's name for the stack of layers, DistilBERT's


@dataclass(frozen=True)
class Group:
    """Sequences that attention takes at once: n of them, padded to `longest`; mask (n, 1, 1, longest) or None."""

    count: int
    longest: int
    mask: Tensor | None


@dataclass(frozen=True)
class Packing:
    """Where the sequences of a packed micro-batch lie.

    Attributes:
        lengths: of the sequences in their order, ascending.
        groups: one behind the other, over all sequences.
        slots: int64 [padded], the token that each place in the padded groups holds; padding holds a first token.
        tokens: int64 [tokens], the place that holds each token.
        real: float32 [padded, 1], 0 at padding.
    """

    lengths: tuple[int, ...]
    groups: tuple[Group, ...]
    slots: Tensor
    tokens: Tensor
    real: Tensor

    @property
    def first_tokens(self) -> Tensor:
        """The tokens that sequences begin with, int64 [sequences]."""
        return torch.tensor((0, *self.lengths[:-1])).cumsum(0)


def pack(lengths: Sequence[int]) -> Packing:
    """Return where sequences of these lengths, in ascending order, lie."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    groups, slots, tokens, padded = [], [], [], 0
    for begin, end in cheapest_cuts(lengths, START_COST):
        longest = lengths[end - 1]
        columns = np.arange(longest)
        real = columns < np.asarray(lengths[begin:end])[:, None]
        slots.append(np.where(real, starts[begin:end, None] + columns, starts[begin:end, None]).ravel())
        tokens.append(padded + np.flatnonzero(real))
        mask = None
        if not real.all():
            lowest = np.finfo(np.float32).min
            mask = torch.from_numpy(np.where(real, np.float32(0.0), lowest)[:, None, None, :])
        groups.append(Group(end - begin, longest, mask))
        padded += real.size
    place = torch.from_numpy(np.concatenate(tokens))
    return Packing(
        lengths=tuple(lengths),
        groups=tuple(groups),
        slots=torch.from_numpy(np.concatenate(slots)),
        tokens=place,
        real=torch.zeros(padded, 1).index_fill_(0, place, 1.0),
    )


class _Move(torch.autograd.Function):
    """Rows moved to other places; the gradient is moved back by a second index, where autograd would add it up.

    Right where each row is asked for once, or where the gradient of what is asked for again is zero: padding, which no
    query reads (into groups), or which is multiplied by 0 here (out of them).
    """

    @staticmethod
    def forward(context: Any, rows: Tensor, there: Tensor, back: Tensor, real: Tensor | None) -> Tensor:
        context.save_for_backward(back, real)
        return rows.index_select(0, there)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        back, real = context.saved_tensors
        moved = gradient.index_select(0, back)
        return (moved if real is None else moved.mul_(real)), None, None, None


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packing: Packing | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return attention's output (b, length, heads, size), as transformers' attention functions do.

    Args:
        query, key, value: (b, heads, length, size).
        attention_mask: bool, broadcastable to (b, heads, length, length), True where a key is read; None for all.
        packing: of a packed micro-batch (b = 1); None: it is padded.
    """
    if packing is None:
        output = F.scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
        )
        return output.transpose(1, 2).contiguous(), None
    heads, size = query.shape[1], query.shape[3]
    scaling = size**-0.5 if scaling is None else scaling
    padded = [
        _Move.apply(tensor[0].transpose(0, 1).reshape(-1, heads * size), packing.slots, packing.tokens, None)
        for tensor in (query, key, value)
    ]
    outputs = []
    rows = [tensor.split([group.count * group.longest for group in packing.groups]) for tensor in padded]
    for group, *parts in zip(packing.groups, *rows, strict=True):
        shape = (group.count, group.longest, heads, size)
        output = attention_with_dropout(
            *(part.view(shape).transpose(1, 2) for part in parts), group.mask, dropout, scaling
        )
        outputs.append(output.transpose(1, 2).reshape(-1, heads * size))
    output = _Move.apply(torch.cat(outputs), packing.tokens, packing.slots, packing.real)
    return output.view(1, -1, heads, size), None


class PackedModel:
    """What a model with a task's head needs to take packed micro-batches besides padded ones.

    Its attention is replaced; MobileBERT's embeddings are kept from their neighbours' sequences; where the head reads
    first tokens (re), the encoder's output is cut down to these.
    """

    def __init__(self, model: PreTrainedModel, *, max_length: int, reads_first_tokens: bool) -> None:
        model.set_attn_implementation(ATTENTION)
        self.packing: Packing | None = None
        self.borders = TrigramBorders(model, max_length) if sees_neighbours(model) else None
        if reads_first_tokens:
            base = model.base_model
            encoder = next(getattr(base, name) for name in ENCODERS if hasattr(base, name))
            encoder.register_forward_hook(self._first_tokens)

    def expect(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """Take note of the micro-batch that comes next; return what the model's call needs beside its inputs."""
        self.packing = tensors.get("packing")
        if self.borders is not None:
            self.borders.positions = None if self.packing is None else tensors["position_ids"]
        return {} if self.packing is None else {"packing": self.packing}

    def _first_tokens(self, module: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
        """Give the head (sequences, 1, hidden) for a packed (1, tokens, hidden)."""
        if self.packing is not None:
            rows = output.last_hidden_state[0].index_select(0, self.packing.first_tokens)
            output.last_hidden_state = rows[:, None]
        return output


AttentionInterface.register(ATTENTION, grouped_attention)
# without a mask function of its own, a padded call would lose its mask without a word
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
