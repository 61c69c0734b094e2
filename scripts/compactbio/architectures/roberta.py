"""RoBERTa (Liu et al. 2019): BERT with one token type, and positions that begin behind the id of padding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compactbio.architectures import bert
from compactbio.architectures.record import Architecture

if TYPE_CHECKING:
    from torch import Tensor

PADDING = 1  # the id in its own vocabularies, and in a configuration that is silent


def _first_position(configuration: Mapping[str, Any]) -> int:
    """Return the position id behind padding's, which is the token id of padding."""
    return int(configuration.get("pad_token_id", PADDING)) + 1


def _mlm_logits(model: Any, rows: Tensor) -> Tensor:
    """Return the head's logits (m, vocabulary) of last hidden states (m, hidden)."""
    return model.lm_head(rows)


ARCHITECTURE = Architecture(
    name="roberta",
    title="RoBERTa",
    encoder="roberta",
    layers=bert.ARCHITECTURE.layers,
    attention=bert.ARCHITECTURE.attention,
    projections=bert.ARCHITECTURE.projections,
    shape=bert.ARCHITECTURE.shape,
    usual=bert.ARCHITECTURE.usual,
    dropouts=bert.ARCHITECTURE.dropouts,
    mlm_logits=_mlm_logits,
    logits_layer="lm_head.decoder",
    token_types=False,  # a table of one, which every token has
    first_position=_first_position,
    finish_layer=bert.ARCHITECTURE.finish_layer,
    block_parts=bert.ARCHITECTURE.block_parts,
)
