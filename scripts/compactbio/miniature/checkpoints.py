"""Tiny starting points with random weights, one folder each, in the forms in which the real ones are published."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# BERT's own configuration keys; the files of 2019 hold these and no model_type
OLD_CONFIG_KEYS = (
    "attention_probs_dropout_prob",
    "hidden_act",
    "hidden_dropout_prob",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "type_vocab_size",
    "vocab_size",
)


@dataclass(frozen=True)
class StartingPoint:
    """A checkpoint of the miniature.

    Attributes:
        architecture: bert, distilbert or mobilebert.
        tokenizer: cased or uncased.
        shape: transformers configuration keys.
        old_form: config.json without model_type, pickled weights and vocab.txt, nothing else (as BioBERT's);
            otherwise safetensors with tokenizer files.
    """

    architecture: str
    tokenizer: str
    shape: dict[str, Any]
    old_form: bool = False


# BERT's 0.02 goes with 768 values; so narrow a network stays on its first plateau with it for the whole demo
_SPREAD = {"initializer_range": 0.06}
_BERT = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, **_SPREAD}
_DISTILBERT = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128, **_SPREAD}
_MOBILEBERT = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "embedding_size": 32,
    "intra_bottleneck_size": 32,
    "num_feedforward_networks": 2,
    # the published model scales without normalising, which takes thousands of steps to start learning
    "normalization_type": "layer_norm",
    **_SPREAD,
}
STARTING_POINTS = {
    "biobert": StartingPoint("bert", "cased", _BERT, old_form=True),
    "distilbert-cased": StartingPoint("distilbert", "cased", _DISTILBERT),
    "distilbert-uncased": StartingPoint("distilbert", "uncased", _DISTILBERT),
    "tinybert": StartingPoint("bert", "uncased", {**_BERT, "hidden_size": 48}, old_form=True),
    "mobilebert": StartingPoint("mobilebert", "uncased", _MOBILEBERT),
}


def write_checkpoint(folder: Path, point: StartingPoint, vocabulary: list[str], seed: int) -> int:
    """Write a starting point's folder and return the number of its parameters."""
    import torch

    from compactbio.students.models import quiet_transformers, random_masked_lm
    from compactbio.students.tokenizers import build_tokenizer, save_tokenizer

    folder.mkdir(parents=True)
    vocab_file = folder / "vocab.txt"
    vocab_file.write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
    model = random_masked_lm(point.architecture, point.shape, len(vocabulary), seed=seed)
    if point.old_form:
        config = {key: getattr(model.config, key) for key in OLD_CONFIG_KEYS}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        weights = {name: weight.clone() for name, weight in model.state_dict().items()}
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        with quiet_transformers():
            model.save_pretrained(folder)
        save_tokenizer(build_tokenizer(vocab_file, lower_case=point.tokenizer == "uncased"), folder)
    return sum(weight.numel() for weight in model.parameters())
