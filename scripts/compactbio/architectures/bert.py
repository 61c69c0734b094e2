"""BERT (Devlin et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compactbio.architectures.record import NAME, POSITIVE, PROBABILITY, Architecture, BlockKernels, BlockPart, meaning

if TYPE_CHECKING:
    from torch import Tensor, nn


def mlm_logits(model: Any, rows: Tensor) -> Tensor:
    """Return the head's logits (m, vocabulary) of last hidden states (m, hidden)."""
    return model.cls(rows)


def _finish_layer(layer: Any, attended: Tensor, rows: Tensor) -> Tensor:
    """Return a layer's output from attention's and from its input."""
    return layer.feed_forward_chunk(layer.attention.output(attended, rows))


def end_of_block(part: Any, kernels: BlockKernels, states: Tensor, residual: Tensor) -> Tensor:
    """Return the output of a part with a last linear layer, a LayerNorm and, as a rule, dropout between them."""
    return kernels.normed(part.dense, states, residual, part.LayerNorm, getattr(part, "dropout", None))


def inner_states(part: Any, kernels: BlockKernels, states: Tensor) -> Tensor:
    """Return the values between the two matrices of a feed-forward part."""
    return kernels.activated(part.dense, states, part.intermediate_act_fn)


def _block_parts(layer: Any) -> Mapping[nn.Module, BlockPart]:
    """Return the ends of attention and of the feed-forward part, and the beginning of the latter."""
    return {layer.attention.output: end_of_block, layer.intermediate: inner_states, layer.output: end_of_block}


ARCHITECTURE = Architecture(
    name="bert",
    title="BERT",
    encoder="bert",
    layers="encoder.layer",
    attention="attention.self",
    projections=("query", "key", "value"),
    shape={
        "hidden_size": meaning("Values of a hidden state."),
        "num_hidden_layers": meaning("Layers."),
        "num_attention_heads": meaning("Attention heads of a layer."),
        "intermediate_size": meaning("Values between the two matrices of a layer's feed-forward part."),
        "max_position_embeddings": meaning("Positions, the longest sequence."),
        "type_vocab_size": meaning("Token types."),
        "hidden_act": meaning("Activation of the feed-forward part, by its name in transformers.", NAME),
        "hidden_dropout_prob": meaning("Dropout of hidden states.", PROBABILITY),
        "attention_probs_dropout_prob": meaning("Dropout of attention probabilities.", PROBABILITY),
        "initializer_range": meaning("Standard deviation of random weights.", POSITIVE),
        "layer_norm_eps": meaning("What LayerNorms add to the variance.", POSITIVE),
    },
    usual={
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 512,
    },
    dropouts=("hidden_dropout_prob", "attention_probs_dropout_prob"),
    mlm_logits=mlm_logits,
    logits_layer="cls.predictions.decoder",
    finish_layer=_finish_layer,
    block_parts=_block_parts,
)
