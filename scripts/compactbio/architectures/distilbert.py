"""DistilBERT (Sanh et al. 2019): BERT without token types and pooler, and with names of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compactbio.architectures import bert
from compactbio.architectures.record import (
    NAME,
    PROBABILITY,
    SWITCH,
    Architecture,
    BlockKernels,
    BlockPart,
    Sizes,
    meaning,
    no_pooler,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


def _mlm_logits(model: Any, rows: Tensor) -> Tensor:
    """Return the logits of the head, whose layers stand in the model itself."""
    return model.vocab_projector(model.vocab_layer_norm(model.activation(model.vocab_transform(rows))))


def _finish_layer(layer: Any, attended: Tensor, rows: Tensor) -> Tensor:
    """Return a layer's output from attention's and from its input."""
    rows = layer.sa_layer_norm(layer.attention.out_lin(attended) + rows)
    return layer.output_layer_norm(layer.ffn(rows) + rows)


def _layer(
    part: Any, kernels: BlockKernels, states: Tensor, attention_mask: Tensor | None = None, **options: Any
) -> Tensor:
    """Return a layer's output; both of its blocks end in the layer itself."""
    attended, _ = part.attention(states, attention_mask=attention_mask, **options)
    states = kernels.normed(None, attended, states, part.sa_layer_norm, None)
    inner = kernels.activated(part.ffn.lin1, states, part.ffn.activation)
    return kernels.normed(part.ffn.lin2, inner, states, part.output_layer_norm, part.ffn.dropout)


def _block_parts(layer: Any) -> Mapping[nn.Module, BlockPart]:
    """Return the layer, in which both of its blocks end."""
    return {layer: _layer}


ARCHITECTURE = Architecture(
    name="distilbert",
    title="DistilBERT",
    encoder="distilbert",
    layers="transformer.layer",
    attention="attention",
    projections=("q_lin", "k_lin", "v_lin"),
    shape={
        "dim": meaning("Values of a hidden state."),
        "n_layers": meaning("Layers."),
        "n_heads": meaning("Attention heads of a layer."),
        "hidden_dim": meaning("Values between the two matrices of a layer's feed-forward part."),
        "max_position_embeddings": bert.ARCHITECTURE.shape["max_position_embeddings"],
        "sinusoidal_pos_embds": meaning("Whether embeddings of positions are fixed sinusoids.", SWITCH),
        "activation": meaning("Activation of the feed-forward part, by its name in transformers.", NAME),
        "dropout": meaning("Dropout of hidden states.", PROBABILITY),
        "attention_dropout": meaning("Dropout of attention probabilities.", PROBABILITY),
        "initializer_range": bert.ARCHITECTURE.shape["initializer_range"],
    },
    usual={"dim": 768, "n_layers": 6, "n_heads": 12, "max_position_embeddings": 512},
    dropouts=("dropout", "attention_dropout"),
    mlm_logits=_mlm_logits,
    logits_layer="vocab_projector",
    sizes=Sizes(width="dim", depth="n_layers", heads="n_heads"),
    token_types=False,
    pooler=no_pooler,
    finish_layer=_finish_layer,
    block_parts=_block_parts,
)
