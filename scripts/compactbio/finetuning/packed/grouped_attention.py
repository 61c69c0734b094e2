"""Attention over packed sequences in groups, forward and backward in one node of the graph.

What `matmul`, `softmax`, `dropout` and `matmul` of autograd would do, group by group: the same products, without the
copies that bring heads before positions and back, and with one draw of dropout for all groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from compactbio.finetuning.packed.groups import Group, Packing
from compactbio.pretraining.packed_attention import padded_attention, variable_length_attention, window
from compactbio.training.dropout import draw_factors

# transformers treats names that hold "flash", "sdpa" or "flex" in ways of their own
ATTENTION = "compactbio_grouped"


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packing: Packing | None = None,
    kernel: str | None = None,
    boundaries: Tensor | None = None,
    longest: int = 0,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return attention's output (b, length, heads, size), as transformers' attention functions do.

    Args:
        query, key, value: (b, heads, length, size).
        attention_mask: bool, broadcastable to (b, heads, length, length), True where a key is read, the layer's window
            included; None for all that the window shows.
        packing: of a packed micro-batch (b = 1) on a CPU.
        kernel, boundaries, longest: of one on a GPU (see `fixed_shapes.FixedShapes`). Without either it is padded.
        sliding_window: of a layer that sees a part of each sequence (see `packed_attention.window`).
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    if kernel is not None:
        assert boundaries is not None  # every packed micro-batch for a kernel has them
        options = (longest, dropout, scaling, sliding_window)
        return variable_length_attention(kernel, query, key, value, boundaries, boundaries, *options), None
    if packing is None:
        if attention_mask is None:
            attention_mask = window(query.shape[-2], sliding_window, query.device)
        output = padded_attention(query, key, value, attention_mask, dropout, scaling)
        return output.transpose(1, 2).contiguous(), None
    return _GroupedAttention.apply(query, key, value, packing, scaling, dropout, sliding_window), None


class _GroupedAttention(torch.autograd.Function):
    """softmax(scaling x Q K' + mask), with dropout, times V; a group's tensors are (count x heads, longest, size)."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(
        context: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        packing: Packing,
        scaling: float,
        probability: float,
        sliding_window: int | None,
    ) -> Tensor:
        queries, keys, values = (_into_groups(tensor, packing) for tensor in (query, key, value))
        maps = queries.new_empty(sum(packing.map_sizes))
        for group, q, k, part in _by_group(packing, queries, keys, maps):
            mask = _mask_of(group, sliding_window)
            if mask is None:  # the first argument does not count then
                scores = torch.baddbmm(part, q, k.transpose(1, 2), beta=0.0, alpha=scaling)
            else:
                scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=scaling)
            torch.softmax(scores, dim=-1, out=part)
        factors = draw_factors(maps.shape, probability) if probability else None
        weights = maps if factors is None else maps * factors
        output = torch.empty_like(values)
        for _, part, v, out in _by_group(packing, weights, values, output):
            torch.bmm(part, v, out=out)
        context.save_for_backward(queries, keys, values, maps, factors, weights)
        context.packing, context.scaling = packing, scaling
        return _out_of_groups(output, packing)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, maps, factors, weights = context.saved_tensors
        packing = context.packing
        by_output = _into_groups(gradient.transpose(1, 2), packing)
        if packing.real is not None:
            by_output.mul_(packing.real)  # what padding asks for is read by nothing
        by_query, by_key, by_value = (torch.empty_like(rows) for rows in (queries, keys, values))
        by_weight = torch.empty_like(weights)
        for _, part, v, by_out, by_part, by_v in _by_group(packing, weights, values, by_output, by_weight, by_value):
            torch.bmm(part.transpose(1, 2), by_out, out=by_v)
            torch.bmm(by_out, v.transpose(1, 2), out=by_part)
        by_map = by_weight if factors is None else by_weight.mul_(factors)
        for _, part, by_part, q, k, by_q, by_k in _by_group(packing, maps, by_map, queries, keys, by_query, by_key):
            by_score = torch.ops.aten._softmax_backward_data(by_part, part, -1, part.dtype).mul_(context.scaling)
            torch.bmm(by_score, k, out=by_q)
            torch.bmm(by_score.transpose(1, 2), q, out=by_k)
        gradients = (_out_of_groups(rows, packing).transpose(1, 2) for rows in (by_query, by_key, by_value))
        return *gradients, None, None, None, None


def _mask_of(group: Group, sliding_window: int | None) -> Tensor | None:
    """Return what is added to a group's scores, broadcastable to (count x heads, longest, longest); None: nothing."""
    seen = window(group.longest, sliding_window, torch.device("cpu"))
    if seen is None:
        return group.mask
    unseen = torch.zeros(1, *seen.shape).masked_fill_(~seen, torch.finfo(torch.float32).min)
    return unseen if group.mask is None else torch.minimum(unseen, group.mask)


def _into_groups(tensor: Tensor, packing: Packing) -> Tensor:
    """Return all groups' rows [padded rows, size] of a tensor (1, heads, tokens, size)."""
    return tensor[0].transpose(0, 1).reshape(-1, tensor.shape[-1]).index_select(0, packing.slots)


def _out_of_groups(rows: Tensor, packing: Packing) -> Tensor:
    """Return (1, tokens, heads, size) of all groups' rows."""
    return rows.index_select(0, packing.rows).view(1, -1, packing.heads, rows.shape[-1])


def _by_group(packing: Packing, *tensors: Tensor) -> Iterator[tuple[Any, ...]]:
    """Yield each group and its part of all groups' rows or, where a tensor has one axis, of their maps."""
    parts = [tensor.split(packing.map_sizes if tensor.ndim == 1 else packing.row_sizes) for tensor in tensors]
    for group, *of_group in zip(packing.groups, *parts, strict=True):
        yield group, *(part.view(group.count * packing.heads, group.longest, -1) for part in of_group)


def mask_of_padding(*, attention_mask: Tensor | None = None, **options: Any) -> Tensor | None:
    """Return the mask of a padded micro-batch as transformers' own function does; None of a packed one.

    For that it would make a mask of the window over the whole row, which nothing reads.
    """
    return None if attention_mask is None else sdpa_mask(attention_mask=attention_mask, **options)


AttentionInterface.register(ATTENTION, grouped_attention)
# without a mask function of its own, a padded call would lose its mask without a word
AttentionMaskInterface.register(ATTENTION, mask_of_padding)
