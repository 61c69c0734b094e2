"""Architectures without a file of their own: evaluated through transformers' auto classes, padded, never packed.

What a record would state is asked of transformers: a model without weights is made from its configuration.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from compactbio.architectures import bert
from compactbio.architectures.record import COMMON_SIZES, EMBEDDINGS, HEAD, LAYERS, POOLER, Architecture, no_pooler
from compactbio.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

AUTO = "auto"  # what a configuration says of a model whose config.json tells its architecture
UNLIMITED = 1_000_000  # tokens of a sequence, where a configuration sets no limit


@dataclass(frozen=True, kw_only=True)
class AnyEncoder(Architecture):
    """An architecture of which only the encoder's outside is known.

    Attributes:
        inside: names of the encoder's own modules.
        longest: tokens of the longest sequence.
    """

    inside: frozenset[str] = frozenset()
    longest: int = UNLIMITED
    packs: bool = False

    def part_of(self, weight: str) -> str:
        """Return the part of a model (one of `PARTS`) that a weight belongs to, by its name in any class."""
        root = weight.removeprefix(f"{self.encoder}.").split(".")[0]
        if root not in self.inside:
            return HEAD
        return POOLER if root == POOLER else EMBEDDINGS if root in self.embeddings else LAYERS

    def positions(self, shape: Mapping[str, Any]) -> int:
        """Return how long a sequence may be."""
        return self.longest


def _unknown(name: str, title: str, **stated: Any) -> AnyEncoder:
    """Return a record that states nothing of an encoder's inside but what is given."""

    def refused(model: PreTrainedModel, rows: Any) -> Any:
        raise UserError(f"{title} is only evaluated here: its masked-language-model head is not known")

    keys = vars(COMMON_SIZES).values()
    return AnyEncoder(
        name=name,
        title=title,
        layers="",
        attention="",
        shape={key: bert.ARCHITECTURE.shape[key] for key in keys},
        usual=bert.ARCHITECTURE.usual,
        dropouts=("", ""),
        mlm_logits=refused,
        norms_of_its_own=True,  # it may have some
        **{"encoder": "", **stated},
    )


PLANNED = _unknown(AUTO, "an encoder of any architecture")
"""What is known before a model with `architecture: auto` is there: sizes of BERT-base stand in estimates."""


def any_encoder(configuration: Mapping[str, Any]) -> AnyEncoder:
    """Return the record of an architecture without a file here, by the content of a config.json.

    Raises:
        UserError: transformers has no encoder with a masked-language-model class for it.
    """
    return _described(json.dumps(configuration, sort_keys=True, default=str))


@lru_cache(maxsize=64)
def _described(content: str) -> AnyEncoder:
    """Return the record of a configuration, given as JSON."""
    import torch
    from torch import nn
    from transformers import AutoConfig, AutoModel

    stored = json.loads(content)
    name = str(stored.pop("model_type", ""))
    require_encoder(name)
    try:
        with torch.device("meta"):
            configuration = AutoConfig.for_model(name, **stored)
            model = AutoModel.from_config(configuration)
    except Exception as error:  # transformers' checks have no exception of their own in common
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"the model's config.json is refused: {lines[-1].strip()}; get the right files") from error
    # where ids of positions begin behind that of padding, as in RoBERTa, the table says so
    tables = [m for path, m in model.named_modules() if path.endswith("position_embeddings")]
    padding = next((m.padding_idx for m in tables if isinstance(m, nn.Embedding) and m.padding_idx is not None), None)
    positions = getattr(configuration, COMMON_SIZES.positions, None) or UNLIMITED
    first = 0 if padding is None else padding + 1
    inside = frozenset(dict(model.named_children()))
    takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
    pooler = sum(weight.numel() for path, weight in model.named_parameters() if path.startswith(f"{POOLER}."))
    return _unknown(
        name,
        type(model).__name__.removesuffix("Model"),
        encoder=model.base_model_prefix,
        embeddings=tuple(sorted(child for child in inside if "embed" in child)),
        inside=inside,
        longest=positions - first,
        token_types=takes_types and (getattr(configuration, "type_vocab_size", None) or 0) > 1,
        pooler=(lambda configuration: pooler) if pooler else no_pooler,
    )


def require_encoder(name: str) -> None:
    """Refuse a `model_type` that is not an encoder which transformers has itself.

    Raises:
        UserError: there is no masked-language-model class for it, or it is made of encoder and decoder.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    if name not in MODEL_FOR_MASKED_LM_MAPPING_NAMES or AutoConfig.for_model(name).is_encoder_decoder:
        raise UserError(
            f"transformers has no encoder of architecture {name!r}: give a model with a masked-language-model class "
            "there, such as bert, roberta, electra, deberta-v2, albert or modernbert"
        )
