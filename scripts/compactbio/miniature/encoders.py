"""Tiny starting points of other architectures than the paper's, each with a tokenizer of its own kind, as published."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.miniature.subwords import BERT, ROBERTA, byte_level_bpe, unigram
from compactbio.miniature.vocabulary import Lexicon

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LONGEST = 128  # tokens of a text
_SIZES = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "initializer_range": 0.06}


@dataclass(frozen=True)
class Encoder:
    """An encoder: its architecture, transformers' keys of its shape, its tokenizer's special tokens, how that is made.

    `split_files`: the tokenizer is vocab.json and merges.txt, as RoBERTa's was; else it is tokenizer.json.
    """

    architecture: str
    shape: dict[str, Any]
    special: dict[str, str]
    tokenizer: Callable[[list[str], Lexicon], Tokenizer]
    split_files: bool = False


ENCODERS = {
    "roberta": Encoder(
        "roberta",
        # positions begin behind the id of padding, 1
        {**_SIZES, "num_hidden_layers": 4, "type_vocab_size": 1, "max_position_embeddings": LONGEST + 2},
        ROBERTA,
        lambda texts, _: byte_level_bpe(texts, ROBERTA),
        split_files=True,
    ),
    "modernbert": Encoder(
        "modernbert",
        # its default of 22 layers, of which every third sees all tokens: here the first and the fourth
        {**_SIZES, "num_hidden_layers": 6, "local_attention": 32, "max_position_embeddings": LONGEST},
        BERT,
        lambda texts, _: byte_level_bpe(texts, BERT),
    ),
    "albert": Encoder(
        "albert",
        {**_SIZES, "num_hidden_layers": 2, "embedding_size": 32, "max_position_embeddings": LONGEST},
        BERT,
        lambda texts, lexicon: unigram(texts, BERT, lexicon),
    ),
}


def write_encoder(folder: Path, encoder: Encoder, texts: list[str], lexicon: Lexicon, seed: int) -> dict[str, Any]:
    """Write an encoder's folder, its tokenizer learnt from texts, and return what it is."""
    from compactbio.students.models import quiet_transformers, random_masked_lm

    folder.mkdir(parents=True)
    tokenizer = encoder.tokenizer(texts, lexicon)
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", **encoder.special}
    if encoder.split_files:
        tokenizer.model.save(str(folder))
        settings = {"tokenizer_class": "RobertaTokenizer"}
    else:
        tokenizer.save(str(folder / "tokenizer.json"))
    settings["model_max_length"] = LONGEST
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    ids = tokenizer.get_vocab()
    special = {name: ids[encoder.special[f"{name}_token"]] for name in ("pad", "cls", "sep")}
    size = len(ids)
    model = random_masked_lm(encoder.architecture, encoder.shape, size, seed=seed, special=special)
    with quiet_transformers():
        model.save_pretrained(folder)
    parameters = sum(weight.numel() for weight in model.parameters())
    return {"architecture": encoder.architecture, "vocabulary_size": size, "parameters": parameters}
