"""The attention that pre-training runs with: a fast kernel, and what terms read of it in the layers they compare."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

from compactbio.architectures import architecture_of
from compactbio.kernels.attention_maps import Layout, Maps, dropped_attention
from compactbio.kernels.draws import draw_seed
from compactbio.pretraining.packed_attention import both_masks, padded_attention, variable_length_attention, window
from compactbio.terms.term import PROBABILITIES, SCORES
from compactbio.training.dropout import dropout as drop

# transformers treats names that hold "flash", "sdpa" or "flex" in ways of their own
ATTENTION = "compactbio_captured"


class StateCapture:
    """The states of attention of one forward pass of a model that terms read: a list by (layer from 1, state).

    The list holds one tensor for a padded micro-batch, and one with b = 1 for each sequence of a packed one. Maps are
    (b, heads, length, length) fp32: `probabilities` are zero at padding keys, after dropout where `after_dropout`;
    `scores` are the scaled products before mask and softmax, zero outside of a layer's window. `query`, `key` and
    `value` are (b, heads, length, size) of the model's own type, as attention multiplies them: where positions are
    rotations, queries and keys are rotated.

    Where a pass is given a layout, maps are not written: `maps` has what they follow from, by layer, for the kernels.
    """

    def __init__(self, wanted: dict[int, set[str]], after_dropout: bool) -> None:
        self.wanted = wanted
        self.after_dropout = after_dropout
        self.begin(None)

    def begin(self, layout: Layout | None) -> None:
        """Begin a forward pass, with the micro-batch's layout where `kernels.attention_maps` compares its maps."""
        self.layout = layout
        self.states: dict[tuple[int, str], list[Tensor]] = {}
        self.maps: dict[int, Maps] = {}

    def wants_maps(self, layer: int) -> bool:
        """Return whether maps of a layer are wanted, which the fast kernels do not give."""
        return not self.wanted[layer].isdisjoint((PROBABILITIES, SCORES))

    def add(self, layer: int, **states: Tensor) -> None:
        """Keep those states of a layer that are wanted."""
        for state, tensor in states.items():
            if state in self.wanted[layer]:
                self.states.setdefault((layer, state), []).append(tensor)

    def keep_maps(self, layer: int, query: Tensor, key: Tensor, dropout: float, scaling: float) -> Maps:
        """Keep what a layer's maps follow from, and return it; dropout has a draw where the terms read it."""
        dropped = dropout if self.after_dropout else 0.0
        seed = draw_seed(query.device) if dropped else None
        self.maps[layer] = Maps(query, key, scaling, dropped, seed)
        return self.maps[layer]


def install_attention(model: PreTrainedModel, wanted: dict[int, set[str]], *, after_dropout: bool) -> StateCapture:
    """Make a model use this module's attention; return where the wanted states will be.

    Args:
        wanted: states of attention by layer, counted from 1.
        after_dropout: the captured probabilities are those that multiply the values, after dropout.
    """
    model.set_attn_implementation(ATTENTION)
    capture = StateCapture(wanted, after_dropout)
    for layer, module in enumerate(architecture_of(model).attention_modules(model), start=1):
        flagged: Any = module
        flagged.capture = (capture, layer) if wanted.get(layer) else None
    return capture


def attention_dropout(model: PreTrainedModel) -> float:
    """Return the dropout of a model's attention maps as it runs now: 0 in evaluation mode."""
    architecture = architecture_of(model)
    modules = architecture.attention_modules(model)
    return max(architecture.dropout_of(module) if module.training else 0.0 for module in modules)


def set_attention_dropout(model: PreTrainedModel, probability: float) -> None:
    """Give every self-attention of a model this dropout instead of its architecture's."""
    architecture = architecture_of(model)
    for module in architecture.attention_modules(model):
        architecture.set_dropout(module, probability)


def captured_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    lengths: tuple[int, ...] | None = None,
    query_lengths: tuple[int, ...] | None = None,
    kernel: str | None = None,
    boundaries: Tensor | None = None,
    query_boundaries: Tensor | None = None,
    longest: int = 0,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return attention's output (b, length, heads, size), as transformers' attention functions do.

    Args:
        query, key, value: (b, heads, length, size).
        attention_mask: bool, broadcastable to (b, heads, length, length), True where a key is read; None for all.
        lengths: of the sequences that stand one behind the other in a packed micro-batch (b = 1), which are taken one
            by one; None: padded, or by a kernel.
        query_lengths: queries of each packed sequence where they are not its tokens.
        kernel: that takes all packed sequences at once (see `packed_attention`), with boundaries (slots + 1,) int32 on
            the device, where they begin and end, query_boundaries where queries are not all tokens, and the length
            that no sequence exceeds.
        sliding_window: of a layer that sees a part of each sequence (see `packed_attention.window`).
    """
    flagged = getattr(module, "capture", None)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    if flagged is not None and flagged[0].layout is not None and flagged[0].wants_maps(flagged[1]):
        capture, layer = flagged
        maps = capture.keep_maps(layer, query, key, dropout, scaling)
        if maps.dropout:  # the output has to have the draw that the terms read
            return dropped_attention(maps, value, capture.layout), None
        if kernel is not None:
            flagged = None
    if kernel is not None:
        assert flagged is None  # maps are not computed
        assert boundaries is not None  # every packed micro-batch for a kernel has them
        asking = boundaries if query_boundaries is None else query_boundaries
        options = (longest, dropout, scaling, sliding_window)
        return variable_length_attention(kernel, query, key, value, asking, boundaries, *options), None
    if lengths is None:
        seen = window(key.shape[2], sliding_window, key.device)
        mask = attention_mask if seen is None else both_masks(attention_mask, seen)
        return _attend(flagged, query, key, value, mask, dropout, scaling, seen).contiguous(), None
    queries, keys, values = query.split(query_lengths or lengths, 2), key.split(lengths, 2), value.split(lengths, 2)
    outputs = []
    for q, k, v in zip(queries, keys, values, strict=True):
        seen = window(k.shape[2], sliding_window, k.device)
        outputs.append(_attend(flagged, q, k, v, seen, dropout, scaling, seen))
    return torch.cat(outputs, dim=1), None


def _attend(
    flagged: tuple[StateCapture, int] | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scaling: float,
    seen: Tensor | None,
) -> Tensor:
    """Return attention's output (b, length, heads, size), by way of explicit maps where they are captured.

    `seen` is the layer's window, which `mask` holds too: scores outside of it count as 0, as those of padding do.
    """
    if flagged is not None:
        capture, layer = flagged
        capture.add(layer, query=query, key=key, value=value)
        if capture.layout is None and capture.wants_maps(layer):
            return _explicit(capture, layer, query, key, value, mask, dropout, scaling, seen).transpose(1, 2)
    if dropout > 0.0 and query.device.type == "cpu":
        # torch's own function has no kernel with dropout for CPUs and does this in more steps
        scores = torch.matmul(query * scaling, key.transpose(2, 3))
        if mask is not None:
            scores = scores + torch.zeros(mask.shape).masked_fill_(~mask, torch.finfo(torch.float32).min)
        output = torch.matmul(drop(torch.softmax(scores, dim=-1), dropout), value)
    else:
        output = padded_attention(query, key, value, mask, dropout, scaling)
    return output.transpose(1, 2)


def _explicit(
    capture: StateCapture,
    layer: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scaling: float,
    seen: Tensor | None,
) -> Tensor:
    """Return attention's output by way of maps in fp32, which are kept as the capture wants."""
    with torch.autocast(query.device.type, enabled=False):
        scores = torch.matmul(query.float(), key.float().transpose(2, 3)) * scaling
        allowed = scores if mask is None else scores.masked_fill(~mask, torch.finfo(torch.float32).min)
        probabilities = torch.softmax(allowed, dim=-1)
    dropped = drop(probabilities, dropout)
    inside = scores if seen is None else scores.masked_fill(~seen, 0.0)
    capture.add(layer, scores=inside, probabilities=dropped if capture.after_dropout else probabilities)
    return torch.matmul(dropped.to(value.dtype), value)


AttentionInterface.register(ATTENTION, captured_attention)
# without a mask function of its own, a padded call would lose its mask without a word
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
