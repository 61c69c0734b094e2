"""The masked-language-model head of each architecture, for chosen rows instead of every position."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from transformers import PreTrainedModel


def _cls_head(model: PreTrainedModel, rows: Tensor) -> Tensor:
    """Return the logits of BERT's and MobileBERT's head."""
    return model.cls(rows)


def _distilbert_head(model: PreTrainedModel, rows: Tensor) -> Tensor:
    """Return the logits of DistilBERT's head, whose layers stand in the model itself."""
    return model.vocab_projector(model.vocab_layer_norm(model.activation(model.vocab_transform(rows))))


HEADS: dict[str, Callable[[PreTrainedModel, Tensor], Tensor]] = {
    "bert": _cls_head,
    "mobilebert": _cls_head,
    "distilbert": _distilbert_head,
}


def vocabulary_logits(model: PreTrainedModel, rows: Tensor) -> Tensor:
    """Return the logits (m, vocabulary) of last hidden states (m, hidden)."""
    return HEADS[model.config.model_type](model, rows)
