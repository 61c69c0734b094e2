"""Tiny models, runs and token stores for the tests of pre-training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    MobileBertConfig,
    MobileBertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
)

from compactbio.corpus.tokens import TokenStore, TokenStoreWriter
from compactbio.files import write_manifest
from compactbio.pretraining.masking import Masking

VOCABULARY = 120
MAX_LENGTH = 24
SPECIAL_IDS = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
TOKENIZER_DIGEST = "d" * 64
REFERENCE = {
    "text": "reference",
    "teacher_dropout": "reference",
    "mlm_head_init": "reference",
    "attention_maps": "reference",
    "maps_after_dropout": "reference",
    "mse_over_padding": "reference",
    "attention_kl_denominator": "reference",
}
SOUND = dict.fromkeys(REFERENCE, "sound")


def bert(layers: int = 2, hidden: int = 32, heads: int = 4, dropout: float = 0.0, seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    return BertForMaskedLM(BertConfig(**_like_bert(layers, hidden, heads, dropout)))


def electra(layers: int = 2, hidden: int = 32, heads: int = 4, dropout: float = 0.0, seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    return ElectraForMaskedLM(ElectraConfig(**_like_bert(layers, hidden, heads, dropout), embedding_size=24))


def roberta(layers: int = 2, hidden: int = 32, heads: int = 4, dropout: float = 0.0, seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    own = {"type_vocab_size": 1, "pad_token_id": SPECIAL_IDS["pad"]}
    return RobertaForMaskedLM(RobertaConfig(**_like_bert(layers, hidden, heads, dropout) | own))


def _like_bert(layers: int, hidden: int, heads: int, dropout: float) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 2 * hidden,
        "max_position_embeddings": 32,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "initializer_range": 0.3,  # large: maps and logits far from uniform show mistakes
    }


def distilbert(dropout: float = 0.0, seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    return DistilBertForMaskedLM(
        DistilBertConfig(
            vocab_size=VOCABULARY,
            dim=32,
            n_layers=2,
            n_heads=4,
            hidden_dim=64,
            max_position_embeddings=32,
            dropout=dropout,
            attention_dropout=dropout,
            initializer_range=0.3,
        )
    )


def mobilebert(dropout: float = 0.0, seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    return MobileBertForMaskedLM(
        MobileBertConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            embedding_size=16,
            intra_bottleneck_size=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=32,
            max_position_embeddings=32,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            initializer_range=0.1,
        )
    )


def modernbert(
    types: str = "aw", hidden: int = 32, dropout: float = 0.0, seed: int = 0, window: int = 8
) -> PreTrainedModel:
    """A letter a layer: `a` sees all, `w` a window of half of `window` tokens on each side."""
    torch.manual_seed(seed)
    names = {"a": "full_attention", "w": "sliding_attention"}
    model = ModernBertForMaskedLM(
        ModernBertConfig(
            vocab_size=VOCABULARY,
            hidden_size=hidden,
            num_hidden_layers=len(types),
            num_attention_heads=4,
            intermediate_size=2 * hidden,
            max_position_embeddings=32,
            layer_types=[names[letter] for letter in types],
            local_attention=window,
            initializer_range=0.3,
            pad_token_id=SPECIAL_IDS["pad"],
            **{f"{name}_token_id": SPECIAL_IDS["cls"] for name in ("bos", "cls")},
            **{f"{name}_token_id": SPECIAL_IDS["sep"] for name in ("eos", "sep")},
            embedding_dropout=dropout,
            mlp_dropout=dropout,
            attention_dropout=dropout,
        )
    )
    for name, weight in model.named_parameters():
        if "norm" in name:  # not all ones, which a wrong norm would have too
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    return model


BUILDS = {build.__name__: build for build in (bert, distilbert, electra, mobilebert, modernbert, roberta)}


def sequences(count: int, seed: int = 0, longest: int = MAX_LENGTH) -> list[list[int]]:
    """Sequences [CLS] ... [SEP] of different lengths, the longest one full, an [UNK] here and there."""
    random = np.random.default_rng(seed)
    lengths = random.integers(5, longest + 1, count)
    lengths[0] = longest
    return [
        [
            SPECIAL_IDS["cls"],
            *np.where(random.random(n - 2) < 0.05, 1, random.integers(5, VOCABULARY, n - 2)).tolist(),
            SPECIAL_IDS["sep"],
        ]
        for n in lengths.tolist()
    ]


def write_store(folder: Path, count: int = 40, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    writer = TokenStoreWriter(folder, vocabulary_size=VOCABULARY, special_ids=SPECIAL_IDS, max_length=MAX_LENGTH)
    writer.append(sequences(count, seed))
    writer.finish(tokenizer_digest=TOKENIZER_DIGEST)
    return folder


def open_store(folder: Path, count: int = 40, seed: int = 0) -> TokenStore:
    return TokenStore([write_store(folder, count, seed)])


def masking() -> Masking:
    """Of global batches of 8 sequences."""
    return Masking(
        fraction=0.15,
        vocabulary_size=VOCABULARY,
        special_ids=SPECIAL_IDS,
        batch_size=8,
        max_length=MAX_LENGTH,
        seed=1,
    )


def write_checkpoint(folder: Path, model: PreTrainedModel, digest: str = TOKENIZER_DIGEST) -> Path:
    """A checkpoint folder as initialise_student leaves it, without tokenizer files."""
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    write_manifest(
        folder,
        kind="checkpoint",
        architecture=model.config.model_type,
        tokenizer_digest=digest,
        mlm_head=True,
        origin={},
    )
    return folder


DISTIL = [
    {"term": "mlm", "weight": 2.0},
    {"term": "logit_kl", "weight": 5.0, "temperature": 2.0},
    {"term": "hidden_cosine", "weight": 1.0, "layers": [[2, 4]]},
]
COMPACT = [
    {"term": "mlm", "weight": 1.0},
    {"term": "attention_kl", "weight": 3.0, "layers": [[1, 2], [2, 4]]},
    {"term": "hidden_cosine", "weight": 3.0, "layers": [[1, 2], [2, 4]]},
    {"term": "logit_kl", "weight": 5.0, "temperature": 1.0},
]
TINY = [
    {"term": "attention_mse", "weight": 1.0, "layers": [[1, 2], [2, 4]]},
    {"term": "hidden_mse", "weight": 1.0, "layers": [[0, 0], [1, 2], [2, 4]]},
    {"term": "soft_cross_entropy", "weight": 1.0},
]
OPTIMIZER_KEYS = ("optimizer", "parameter_groups")  # of optimisation, which a run of today's defaults lacks
MLM = [{"term": "mlm", "weight": 1.0}]


def run_settings(objective: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A run.yaml of a tiny run; `changes` go to `optimisation` where they belong there."""
    optimisation = {
        "steps": 6,
        "warmup_steps": 2,
        "peak_learning_rate": 1e-3,
        "weight_decay": 0.01,
        "global_batch_size": 8,
        "schedule": "linear",
        "adam_betas": [0.9, 0.999],
        "adam_epsilon": 1e-8,
        "max_gradient_norm": 1.0,
        "precision": "fp32",
        "attention_dropout": None,
    }
    run = {
        "model": "Small",
        "architecture": "bert",
        "tokenizer": "test",
        "teacher": None if objective == MLM else "teacher",
        "student": {"shape": {}},
        "objective": objective,
        "optimisation": optimisation,
        "masked_fraction": 0.15,
        "max_length": MAX_LENGTH,
        "seed": 42,
        "quirks": dict(REFERENCE),
    }
    for key, value in changes.items():
        (optimisation if key in {*optimisation, *OPTIMIZER_KEYS} else run)[key] = value
    return run
