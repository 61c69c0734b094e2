"""ELECTRA (Clark et al. 2020): BERT, where embeddings may be narrower than layers; its generator has an MLM head.

A discriminator is the same encoder without that head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compactbio.architectures import bert, mobilebert
from compactbio.architectures.record import EMBEDDINGS, Architecture, no_pooler

if TYPE_CHECKING:
    from torch import Tensor


def _mlm_logits(model: Any, rows: Tensor) -> Tensor:
    """Return the generator's logits (m, vocabulary) of last hidden states (m, hidden)."""
    return model.generator_lm_head(model.generator_predictions(rows))


ARCHITECTURE = Architecture(
    name="electra",
    title="ELECTRA",
    encoder="electra",
    embeddings=(EMBEDDINGS, "embeddings_project"),
    layers=bert.ARCHITECTURE.layers,
    attention=bert.ARCHITECTURE.attention,
    projections=bert.ARCHITECTURE.projections,
    shape={**bert.ARCHITECTURE.shape, "embedding_size": mobilebert.ARCHITECTURE.shape["embedding_size"]},
    usual={
        "hidden_size": 256,
        "num_hidden_layers": 12,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
    },
    dropouts=bert.ARCHITECTURE.dropouts,
    mlm_logits=_mlm_logits,
    logits_layer="generator_lm_head",
    pooler=no_pooler,
    finish_layer=bert.ARCHITECTURE.finish_layer,
    block_parts=bert.ARCHITECTURE.block_parts,
)
