"""The floating-point operations of a pre-training step: what its model needs, whatever the program does besides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from torch import nn
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of
from compactbio.architectures.record import COMMON_SIZES
from compactbio.pretraining.last_layer import find_last_layer
from compactbio.terms.cost import Cost
from compactbio.terms.term import Shape

BACKWARD = 2.0  # times the forward pass: gradients of inputs and of weights, one matrix product each


def shape_of_model(model: PreTrainedModel) -> Shape:
    """Return a model's sizes as terms ask for them."""
    config = model.config
    width = architecture_of(model).attention_width(config.to_dict(), COMMON_SIZES)
    return Shape(
        config.num_hidden_layers,
        config.hidden_size,
        config.num_attention_heads,
        attention_width=getattr(config, width),
        vocabulary=config.vocab_size,
    )


def forward_cost(model: PreTrainedModel, *, head: bool = True, last_at_masked: bool = False) -> Cost:
    """Return the cost of a forward pass of a masked language model of an architecture with a record.

    Every linear layer of the encoder sees each token once (MobileBERT's bottlenecks and stacked feed-forward networks
    are layers of their own, ELECTRA's embeddings are projected by one), every other one is the head's. Attention
    multiplies queries with keys and weights with values: 4 x width for a pair in each layer, where layers with a window
    have the pairs inside of it only. Normalisations, activations, gates, rotations and softmax are not counted, as
    usual.

    Args:
        head: the head is run, on the masked positions.
        last_at_masked: the last layer too is run on them alone, as `last_layer` does.
    """
    shape, encoder = shape_of_model(model), set(model.base_model.modules())
    linear: set[nn.Linear] = {layer for layer in model.modules() if isinstance(layer, nn.Linear)}
    everywhere, of_head = {layer for layer in linear if layer in encoder}, linear - encoder
    last = find_last_layer(model) if last_at_masked else None
    narrow: set[nn.Linear] = set() if last is None else set(last.linear_at_masked())
    reaches = architecture_of(model).reaches(model)[: None if last is None else -1]
    a_pair = 4.0 * shape.attention_width
    return Cost(
        token=_linear_flops(everywhere - narrow),
        pair=a_pair * reaches.count(None),
        masked_row=_linear_flops(narrow) + (_linear_flops(of_head) if head else 0.0),
        masked_pair=0.0 if last is None else a_pair,
        near_pair={reach: a_pair * count for reach, count in Counter(reaches).items() if reach is not None},
    )


def _linear_flops(layers: Iterable[nn.Linear]) -> float:
    """Return the FLOPs of linear layers for one token."""
    return sum(2.0 * layer.weight.numel() for layer in layers)
