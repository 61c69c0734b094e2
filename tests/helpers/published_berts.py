"""Tiny BERTs published with a tokenizer of any kind, as it is in a tokenizer.json."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from helpers.encoders import BERT, ENCODERS, ROBERTA, SIZES, sentences

TEXTS = [" ".join(words) for words in sentences(40, 2)]
AWKWARD = [
    "",
    "  TNF-α-induced naïve T cells ",
    "Sjögren's\tH₂O ≥ 3%",
    "東京 \U0001d6fc \u2028 x",
    "cell [E1] IL-2 kinase",
]
LONGEST = 64  # tokens, by tokenizer_config.json and by the positions


def tokenizer_of_kind(kind: str) -> tuple[Tokenizer, dict[str, str]]:
    """Return a tokenizer and its special tokens by their keys.

    Kinds are those of helpers.encoders and `accents` (a WordPiece that keeps accents of lower-cased text), `added`
    (tokens added to one), `gaps` (a byte-level BPE that leaves seven ids out), `fallback` (a Unigram that falls back to
    bytes), `large` (a byte-level BPE of more than 65,536 tokens, without an unknown one).
    """
    makers = {"accents": _accents, "added": _added, "gaps": _gaps, "fallback": _fallback, "large": _large}
    if kind in makers:
        return makers[kind]()
    return ENCODERS[kind].tokenizer([" ".join(words) for words in sentences(300, 1)]), ENCODERS[kind].special


def publish_bert(folder: Path, kind: str, *, spare: int = 5, seed: int = 1, **sizes: int) -> Any:
    """Write a BERT of random weights with a tokenizer of a kind and spare embeddings, and return the model."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    folder.mkdir(parents=True)
    tokenizer, special = tokenizer_of_kind(kind)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": LONGEST, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    configuration = BertConfig(
        **(SIZES | sizes),
        vocab_size=max(tokenizer.get_vocab().values()) + 1 + spare,
        max_position_embeddings=LONGEST,
        pad_token_id=tokenizer.token_to_id(special["pad_token"]),
    )
    generator = torch.Generator().manual_seed(seed)
    model = BertForMaskedLM(configuration)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    model.save_pretrained(folder)
    return model.eval()


def _wordpiece() -> Tokenizer:
    return ENCODERS["electra"].tokenizer([*TEXTS, "sjögren naive cell"])


def _accents() -> tuple[Tokenizer, dict[str, str]]:
    tokenizer = _wordpiece()
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    return tokenizer, BERT


def _added() -> tuple[Tokenizer, dict[str, str]]:
    tokenizer = _wordpiece()
    tokenizer.add_tokens(["IL-2", AddedToken("kinase", single_word=True)])
    tokenizer.add_special_tokens(["[E1]"])
    return tokenizer, BERT


def _gaps() -> tuple[Tokenizer, dict[str, str]]:
    stored = json.loads(ENCODERS["modernbert"].tokenizer(TEXTS).to_str())
    stored["model"]["vocab"] = {token: n + 7 * (n >= 300) for token, n in stored["model"]["vocab"].items()}
    return Tokenizer.from_str(json.dumps(stored)), BERT


def _fallback() -> tuple[Tokenizer, dict[str, str]]:
    pieces = [
        *ROBERTA.values(),
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        *"abcdefghijklmnopqrstuvwxyz",
        "▁the",
    ]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=3, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(list(ROBERTA.values()))
    return _ended(tokenizer), ROBERTA


def _large() -> tuple[Tokenizer, dict[str, str]]:
    special = {key: value for key, value in ROBERTA.items() if key != "unk_token"}
    letters, merges = sorted(pre_tokenizers.ByteLevel.alphabet()), [*product("aeiou", "nrst"), ("Ġ", "t"), ("Ġt", "h")]
    fill = (f"never {number}" for number in range(65_500))  # nothing is merged to one of them
    tokens = [*special.values(), *fill, *letters, *(first + second for first, second in merges)]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special.values()))
    return _ended(tokenizer), special


def _ended(tokenizer: Tokenizer) -> Tokenizer:
    ends = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "<s>")]
    tokenizer.post_processor = processors.RobertaProcessing(*ends, trim_offsets=True, add_prefix_space=False)
    return tokenizer
