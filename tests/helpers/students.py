"""Tiny vocabularies and models, for the tests of the students stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from compactbio.architectures import ARCHITECTURES
from compactbio.architectures.record import POOLER

torch.set_num_threads(1)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [
    *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,-()éïα",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789éïα"),
    *("cell", "Cell", "gene", "naive", "naïve", "##cell", "##ing", "TNF", "tnf"),
]
VOCABULARY = [*SPECIAL, *PIECES]
DEFINITION = {"checkpoint": "tiny", "lower_case": False, "vocabulary_size": len(VOCABULARY), "golden": None}

SHAPES: dict[str, dict[str, Any]] = {
    "bert": {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
    },
    "distilbert": {"dim": 32, "n_layers": 4, "n_heads": 2, "hidden_dim": 48, "max_position_embeddings": 64},
    "electra": {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "embedding_size": 16,
        "max_position_embeddings": 64,
    },
    "mobilebert": {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "embedding_size": 16,
        "intra_bottleneck_size": 16,
        "max_position_embeddings": 64,
    },
    "modernbert": {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "local_attention": 8,
        "classifier_pooling": "mean",
        "pad_token_id": 0,
        **dict.fromkeys(("bos_token_id", "cls_token_id"), 2),  # those of VOCABULARY
        **dict.fromkeys(("eos_token_id", "sep_token_id"), 3),
    },
    "roberta": {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 66,
        "type_vocab_size": 1,
        "pad_token_id": 0,  # that of VOCABULARY
    },
}


def write_vocabulary(path: Path, tokens: list[str] = VOCABULARY) -> Path:
    """Write a vocab.txt and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return path


def random_model(architecture: str, class_name: str = "AutoModelForPreTraining", seed: int = 1) -> Any:
    """Return a tiny model by transformers alone, with every weight random (biases and norms as well)."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_PRETRAINING_MAPPING_NAMES

    configuration = transformers.AutoConfig.for_model(architecture, **SHAPES[architecture], vocab_size=len(VOCABULARY))
    if architecture not in MODEL_FOR_PRETRAINING_MAPPING_NAMES:  # none with a second head
        class_name = class_name.replace("ForPreTraining", "ForMaskedLM")
    generator = torch.Generator().manual_seed(seed)
    model = getattr(transformers, class_name).from_config(configuration)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return model.eval()


def write_published(folder: Path, model: Any, *, weights: dict[str, Any] | None = None) -> Path:
    """Write a model as folders of 2019 are: a bare config.json, pickled weights, vocab.txt. Return the folder."""
    write_vocabulary(folder / "vocab.txt")
    configuration = model.config.to_dict()
    for key in ("model_type", "architectures", "transformers_version", "dtype"):
        configuration.pop(key, None)
    (folder / "config.json").write_text(json.dumps(configuration))
    torch.save(model.state_dict() if weights is None else weights, folder / "pytorch_model.bin")
    return folder


def old_names(weights: dict[str, Any]) -> dict[str, Any]:
    """Return weights under the names of checkpoints converted from TensorFlow in 2019."""
    return {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights.items()
    }


def definition(architecture: str, path: Path | None = None) -> dict[str, Any]:
    """Return the definition of a checkpoint in a local folder."""
    return {"source": "path", "path": str(path), "architecture": architecture, "tokenizer": "tiny"}


def encoder_parameters(model: Any, with_pooler: bool) -> int:
    """Return the number of parameters of a model's encoder, without or with the pooler of its architecture."""
    architecture = ARCHITECTURES[model.config.model_type]
    weights = {name: weight.numel() for name, weight in model.base_model.named_parameters()}
    total = sum(size for name, size in weights.items() if architecture.part_of(name) != POOLER)
    return total + (architecture.pooler(model.config.to_dict()) if with_pooler else 0)


def run_of(
    student: dict[str, Any], architecture: str = "bert", head: str = "reference", seed: int = 42
) -> dict[str, Any]:
    """Return what of a run file starting its student reads."""
    return {
        "model": "Mine",
        "architecture": architecture,
        "teacher": "big",
        "student": student,
        "seed": seed,
        "quirks": {"mlm_head_init": head},
    }


def folder_of(tmp_path: Path, architecture: str, class_name: str = "AutoModelForMaskedLM") -> Path:
    """Return the checkpoint folder that a tiny model is fetched to."""
    from compactbio.students.checkpoints import import_checkpoint

    source = write_published(tmp_path / "published", random_model(architecture, class_name))
    import_checkpoint(source, definition(architecture), DEFINITION, {}, tmp_path / class_name)
    return tmp_path / class_name
