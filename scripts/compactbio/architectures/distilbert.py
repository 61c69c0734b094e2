"""DistilBERT (Sanh et al. 2019): BERT without token types and pooler, and with names of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compactbio.architectures import bert
from compactbio.architectures.record import NAME, PROBABILITY, SWITCH, Architecture, Sizes, meaning, no_pooler

if TYPE_CHECKING:
    from torch import Tensor


def _mlm_logits(model: Any, rows: Tensor) -> Tensor:
    """Return the logits of the head, whose layers stand in the model itself."""
    return model.vocab_projector(model.vocab_layer_norm(model.activation(model.vocab_transform(rows))))


def _finish_layer(layer: Any, attended: Tensor, rows: Tensor) -> Tensor:
    """Return a layer's output from attention's and from its input."""
    rows = layer.sa_layer_norm(layer.attention.out_lin(attended) + rows)
    return layer.output_layer_norm(layer.ffn(rows) + rows)


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
    sizes=Sizes(width="dim", depth="n_layers", heads="n_heads"),
    token_types=False,
    pooler=no_pooler,
    finish_layer=_finish_layer,
)
