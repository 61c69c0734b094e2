"""An encoder's last layer computed at the masked positions only, for objectives that read nothing else of it.

Keys and values are those of all tokens; queries and all that follows are rows of masked positions, about 15 %. With
dropout 0 no number changes; with dropout fewer random numbers are drawn. An architecture whose record has no
`finish_layer` stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of
from compactbio.pretraining.attention import captured_attention


@dataclass(frozen=True)
class LastLayer:
    """The parts of a last layer.

    `finish` returns the layer's output from attention's and from the layer's input, all three (1, m, hidden);
    `dropout` that of attention's maps in training.
    """

    layer: nn.Module
    attention: nn.Module
    head_size: int
    dropout: Callable[[], float]
    query: nn.Module
    key: nn.Module
    value: nn.Module
    finish: Callable[[Tensor, Tensor], Tensor]

    def linear_at_masked(self) -> list[nn.Linear]:
        """Return the linear layers that see masked positions only."""
        linear = [module for module in self.layer.modules() if isinstance(module, nn.Linear)]
        return [module for module in linear if module is not self.key and module is not self.value]


def find_last_layer(model: PreTrainedModel) -> LastLayer | None:
    """Return the parts of a model's last layer, None for an architecture that is left as it is."""
    architecture = architecture_of(model)
    if architecture.finish_layer is None or architecture.projections is None:
        return None
    layer, attention = architecture.layers_of(model)[-1], architecture.attention_modules(model)[-1]
    query, key, value = (attention.get_submodule(name) for name in architecture.projections)
    dropout, finish = partial(architecture.dropout_of, attention), partial(architecture.finish_layer, layer)
    return LastLayer(layer, attention, architecture.head_sizes(model)[-1], dropout, query, key, value, finish)


def install_last_layer(model: PreTrainedModel) -> bool:
    """Make a model's last layer answer at the masked positions where a call names them; return whether it will.

    A call of the encoder with `masked_positions` (m,), counted through the micro-batch, and `masked_lengths`, how many
    of them each sequence has (or `masked_boundaries`, their running sum on the device, for a kernel), then returns a
    last hidden state (1, m, hidden). Any other call is as it was.
    """
    last = find_last_layer(model)
    if last is None:
        return False

    def forward(
        states: Tensor, attention_mask: Tensor | None = None, *others: Any, masked_positions: Any = None, **options: Any
    ) -> Tensor:
        if masked_positions is None:
            ordinary = type(last.layer).forward  # which kernels may have replaced meanwhile
            return ordinary(last.layer, states, attention_mask, *others, **options)
        return _at_masked(last, states, attention_mask, masked_positions, **options)

    last.layer.forward = forward  # of this one layer
    return True


def _at_masked(
    last: LastLayer,
    states: Tensor,
    attention_mask: Tensor | None,
    masked_positions: Tensor,
    *,
    masked_lengths: tuple[int, ...] | None = None,
    masked_boundaries: Tensor | None = None,
    lengths: tuple[int, ...] | None = None,
    **packing: Any,
) -> Tensor:
    """Return the layer's output (1, m, hidden) from its input (b, length, hidden); see `captured_attention`."""
    rows = states.flatten(0, 1).index_select(0, masked_positions)[None]
    query, key, value = last.query(rows), last.key(states), last.value(states)
    padded = lengths is None and masked_boundaries is None
    if padded:  # all sequences at once, as many queries as keys: zeros where nothing is read
        query = key.new_zeros(key.shape).flatten(0, 1).index_copy(0, masked_positions, query[0]).view_as(key)
    attended = captured_attention(
        last.attention,
        _by_head(query, last.head_size),
        _by_head(key, last.head_size),
        _by_head(value, last.head_size),
        attention_mask,
        dropout=last.dropout() if last.attention.training else 0.0,
        scaling=last.head_size**-0.5,
        lengths=lengths,
        query_lengths=masked_lengths,
        query_boundaries=masked_boundaries,
        **packing,
    )[0].flatten(2)
    if padded:
        attended = attended.flatten(0, 1).index_select(0, masked_positions)[None]
    return last.finish(attended, rows)


def _by_head(rows: Tensor, size: int) -> Tensor:
    """Return (b, heads, length, size) of (b, length, heads x size)."""
    return rows.unflatten(-1, (-1, size)).transpose(1, 2)
