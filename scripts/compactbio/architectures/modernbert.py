"""ModernBERT (Warner et al. 2024): rotated queries and keys in place of embedded positions, and layers with a window.

Layers normalise what they read, so that hidden states between them are sums that nothing has normalised; only the last
one, as transformers' `hidden_states` has it, is behind `final_norm`. A first layer has no norm before attention, since
embeddings end with one. `layer_types` of a configuration says which layers see all of a sequence and which only
`local_attention` / 2 tokens on each side; where it is absent every third one sees all, or as
`global_attn_every_n_layers` says, the only key that transformers before version 5 knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compactbio.architectures import bert
from compactbio.architectures.record import COMMON_SIZES, NAME, POSITIVE, PROBABILITY, Architecture, meaning, no_pooler

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig

ALL, WINDOW = "full_attention", "sliding_attention"  # the types of layers, as transformers names them
EVERY = "global_attn_every_n_layers"


def _mlm_logits(model: Any, rows: Tensor) -> Tensor:
    """Return the logits of head and decoder (m, vocabulary) of last hidden states (m, hidden)."""
    return model.decoder(model.head(rows))


def _reach(attention: Any) -> int | None:
    """Return how many tokens on each side a layer sees: transformers' number is one more, as a kernel wants it."""
    return None if attention.sliding_window is None else attention.sliding_window - 1


def _pools_mean(configuration: Mapping[str, Any]) -> bool:
    """Return whether heads of whole texts read the mean of all states, as the published models do."""
    return configuration["classifier_pooling"] == "mean"


def _layer_parameters(shape: Mapping[str, Any]) -> int:
    """Return the parameters of a layer without its norms: attention, and a feed-forward part with a gate."""
    width: int = shape[COMMON_SIZES.width]
    return width * (4 * width + 3 * shape["intermediate_size"])


def _no_positions(shape: Mapping[str, Any]) -> int:
    """Return the number of embeddings of positions."""
    return 0


def _refused_layers(layers: Sequence[int]) -> str | None:
    """Return why a student cannot have these layers, with layers that it can have."""
    if layers[0] == 0 and 0 not in layers[1:]:
        return None
    return (
        f"the first layer of a {ARCHITECTURE.title} has no norm before its attention and every other one has: a "
        f"student begins with layer 0 and has it only there, such as {[0, *filter(None, layers[1:])]}"
    )


def _keep_layers(configuration: PretrainedConfig, layers: Sequence[int]) -> None:
    """Make a configuration that of a model of these layers, each of which sees what it saw in the teacher."""
    found: Any = configuration
    types = [found.layer_types[layer] for layer in layers]
    found.layer_types, found.num_hidden_layers = types, len(layers)
    found.__dict__.pop(EVERY, None)
    for number in range(1, len(layers) + 1):
        if types == [ALL if place % number == 0 else WINDOW for place in range(len(layers))]:
            setattr(found, EVERY, number)  # then older versions of transformers compute the same
            break


ARCHITECTURE = Architecture(
    name="modernbert",
    title="ModernBERT",
    encoder="model",
    layers="layers",
    attention="attn",
    shape={
        **{key: bert.ARCHITECTURE.shape[key] for key in vars(COMMON_SIZES).values()},
        "intermediate_size": meaning(
            "Values between the matrices of a layer's feed-forward part, gates as many again."
        ),
        "layer_types": {
            "description": f"Of each layer {ALL} or {WINDOW}; where it is left out every third is the first.",
            "type": "array",
            "items": {"enum": [ALL, WINDOW]},
        },
        "local_attention": meaning("Tokens of the window of such layers, half of them on each side."),
        "hidden_activation": meaning("Activation of the feed-forward part, by its name in transformers.", NAME),
        "classifier_pooling": {
            "description": "What heads of whole texts read: the first token's state, or the mean of all.",
            "enum": ["cls", "mean"],
        },
        "embedding_dropout": meaning("Dropout of embeddings.", PROBABILITY),
        "mlp_dropout": meaning("Dropout inside the feed-forward part.", PROBABILITY),
        "attention_dropout": meaning("Dropout of attention probabilities.", PROBABILITY),
        "initializer_range": bert.ARCHITECTURE.shape["initializer_range"],
        "norm_eps": meaning("What LayerNorms add to the variance.", POSITIVE),
    },
    usual={
        "hidden_size": 768,
        "num_hidden_layers": 22,
        "num_attention_heads": 12,
        "intermediate_size": 1152,
        "max_position_embeddings": 8192,
    },
    dropouts=("embedding_dropout", "mlp_dropout", "attention_dropout"),
    mlm_logits=_mlm_logits,
    logits_layer="decoder",
    behind=("final_norm",),
    attention_dropout="attention_dropout",
    head_size="head_dim",
    reach=_reach,
    token_types=False,
    pooler=no_pooler,
    pools_mean=_pools_mean,
    layer_parameters=_layer_parameters,
    position_embeddings=_no_positions,
    former_keys=(EVERY, "global_rope_theta", "local_rope_theta"),
    refused_layers=_refused_layers,
    keep_layers=_keep_layers,  # no finish_layer: a last layer is little of 22, and its queries are rotated
)
