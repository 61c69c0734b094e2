"""Packed micro-batches: sequences one behind the other in one row, without padding, and the attention that takes them.

On a GPU all sequences go through one kernel with dropout. Three are known (`attention_choice` says which one is taken):
torch's flash attention (half precision, compute capability 8.0), its memory-efficient attention, both called as torch's
own nested tensors call them, and `unpacked`, which pads the sequences for torch's scaled_dot_product_attention and for
nothing else: it runs everywhere, also on a CPU, with whatever torch has for a mask.

torch's memory-efficient attention of packed sequences has no dropout that one can train with, up to 2.13 at least: its
forward pass does not know how many keys there are, and starts the draws of all heads and sequences at one place; its
backward pass knows, and drops other probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

LOOP, FLASH, EFFICIENT, UNPACKED = "loop", "flash", "efficient", "unpacked"
HEAD_SIZE_MULTIPLE = 8  # of what the kernels take
WINDOWED = (FLASH, UNPACKED)  # which know windows

# of (tokens, heads, size): queries, keys, values; boundaries of the queries and of the keys; longest, dropout, scaling;
# and, for those that know windows, how many keys each query sees on each side, None: all
Kernel = Callable[..., Tensor]


def window(length: int, sliding_window: int | None, device: torch.device) -> Tensor | None:
    """Return which keys each query of a sequence sees, (length, length) bool; None: all.

    Args:
        sliding_window: keys less far away are seen, on both sides, as transformers' modules give it; None: all.
    """
    if sliding_window is None or length <= sliding_window:
        return None
    places = torch.arange(length, device=device)
    return (places[:, None] - places).abs() < sliding_window


def both_masks(mask: Tensor | None, seen: Tensor) -> Tensor:
    """Return a mask of keys and a window (length, length) as one mask; a query that would see nothing sees itself.

    Such queries are padding's, which nothing reads, but softmax needs a key.
    """
    if mask is None:
        return seen
    both = mask & seen
    itself = torch.eye(len(seen), dtype=torch.bool, device=seen.device)
    return both | (itself & ~both.any(-1, keepdim=True))


def variable_length_attention(
    name: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_boundaries: Tensor,
    boundaries: Tensor,
    longest: int,
    dropout: float,
    scaling: float,
    sliding_window: int | None = None,
) -> Tensor:
    """Return attention's output (1, rows, heads, size) of packed sequences, by one kernel.

    Args:
        name: of the kernel.
        query: (1, heads, rows, size), of all tokens or of some.
        key, value: (1, heads, tokens, size).
        query_boundaries, boundaries: (slots + 1,) int32 on the device, the running sums from 0 of rows and tokens of
            each sequence; empty ones have neither.
        longest: no sequence has more tokens or rows.
        dropout: of the probabilities.
        sliding_window: see `window`; then queries are those of all tokens, and the kernel is one of `WINDOWED`.
    """
    size = query.shape[-1]
    states = _as_rows(query), _as_rows(key), _as_rows(value)
    seen = {} if sliding_window is None else {"reach": sliding_window - 1}
    output = KERNELS[name](*states, query_boundaries, boundaries, longest, dropout, scaling, **seen)
    return output[None, ..., :size].contiguous()


def _as_rows(tensor: Tensor) -> Tensor:
    """Return (tokens, heads, size) of (1, heads, tokens, size), size filled up to what the kernels take.

    It is a view, gradients come back as one too: `tensor[0]` would have its own copied into zeros.
    """
    return _filled(tensor.transpose(1, 2).squeeze(0))


def _filled(tensor: Tensor) -> Tensor:
    """Return heads (..., size) with zeros behind, up to what the kernels take.

    They change no product; the scale stays that of the true size.
    """
    missing = -tensor.shape[-1] % HEAD_SIZE_MULTIPLE
    return F.pad(tensor, (0, missing)) if missing else tensor


def padded_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scaling: float
) -> Tensor:
    """Return torch's attention of padded sequences; it and what it reads are (b, heads, length, size).

    On a GPU heads are filled up: torch's kernels refuse sizes such as 26, and what it takes in their place writes maps.
    """
    attend = filled_attention if query.device.type == "cuda" else F.scaled_dot_product_attention
    return attend(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)


def filled_attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float, **options: Any) -> Tensor:
    """Return torch's attention by way of heads that are filled up."""
    states = _filled(query), _filled(key), _filled(value)
    return F.scaled_dot_product_attention(*states, scale=scale, **options)[..., : value.shape[-1]]


def _flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rows: Tensor,
    ends: Tensor,
    longest: int,
    dropout: float,
    scaling: float,
    reach: int | None = None,
) -> Tensor:
    """Return attention's output (rows, heads, size) by torch's flash attention."""
    options: dict[str, Any] = {"return_debug_mask": False, "scale": scaling}
    if reach is not None:
        options |= {"window_size_left": reach, "window_size_right": reach}
    return torch.ops.aten._flash_attention_forward(
        query, key, value, rows, ends, longest, longest, dropout, False, **options
    )[0]


def _efficient(
    query: Tensor, key: Tensor, value: Tensor, rows: Tensor, ends: Tensor, longest: int, dropout: float, scaling: float
) -> Tensor:
    """Return attention's output (rows, heads, size) by torch's memory-efficient attention."""
    options: dict[str, Any] = {"compute_log_sumexp": torch.is_grad_enabled(), "scale": scaling}
    queries, keys = min(longest, query.shape[0]), min(longest, key.shape[0])  # it takes no more than there are
    states = (query[None], key[None], value[None])
    no_mask = 0
    return torch.ops.aten._efficient_attention_forward(
        *states, None, rows, ends, queries, keys, dropout, no_mask, **options
    )[0][0]


def _unpacked(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rows: Tensor,
    ends: Tensor,
    longest: int,
    dropout: float,
    scaling: float,
    reach: int | None = None,
) -> Tensor:
    """Return attention's output (rows, heads, size) by torch's attention of padded sequences, (slots, longest)."""
    places = _Places.of(ends, longest, len(key))
    asking = places if rows is ends else _Places.of(rows, longest, len(query))
    real = places.real.view(-1, longest)
    mask = (real | ~real.any(1, keepdim=True))[:, None, None]  # softmax needs a key, in an empty slot too
    seen = window(longest, None if reach is None else reach + 1, ends.device)
    if seen is not None:
        mask = both_masks(mask, seen)
    queries, keys, values = (
        _Moved.apply(one, where.pad, where.pack).view(-1, longest, *one.shape[1:]).transpose(1, 2)
        for one, where in ((query, asking), (key, places), (value, places))
    )
    output = F.scaled_dot_product_attention(queries, keys, values, mask, dropout, scale=scaling)
    packed: Tensor = _Moved.apply(output.transpose(1, 2).flatten(0, 1), asking.pack, asking.spread)
    return packed


class _Places(NamedTuple):
    """Where packed rows are among padded ones: the row at each padded place, whether it has one, each row's place."""

    rows: Tensor
    real: Tensor
    padded: Tensor

    @classmethod
    def of(cls, ends: Tensor, longest: int, count: int) -> _Places:
        """Return the places of sequences between `ends`, padded to `longest`, which hold all of `count` rows."""
        rows = ends[:-1, None] + torch.arange(longest, dtype=ends.dtype, device=ends.device)
        numbers = torch.arange(count, dtype=ends.dtype, device=ends.device)
        slots = torch.bucketize(numbers, ends[1:], right=True)
        padded = slots * longest + numbers - ends.index_select(0, slots)
        return cls(rows.clamp(max=count - 1).flatten(), (rows < ends[1:, None]).flatten(), padded)

    def pad(self, packed: Tensor) -> Tensor:
        """Return packed rows at their padded places, rows of others between."""
        return packed.index_select(0, self.rows)

    def spread(self, packed: Tensor) -> Tensor:
        """Return packed rows at their padded places, zeros between."""
        return self.pad(packed).masked_fill_(~self.real.view(-1, *[1] * (packed.dim() - 1)), 0.0)

    def pack(self, padded: Tensor) -> Tensor:
        """Return the rows at their padded places."""
        return padded.index_select(0, self.padded)


class _Moved(torch.autograd.Function):
    """Moves rows; their gradient is moved back, in one order, where that of an indexed tensor would be added up.

    What stands between padded rows gets no gradient: such keys are masked, and nobody reads what such queries give.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, move: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.back = back
        return move(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back(gradient), None, None


KERNELS: dict[str, Kernel] = {FLASH: _flash, EFFICIENT: _efficient, UNPACKED: _unpacked}
