"""Tiny encoders of any architecture, with tokenizers of any kind, published as their makers do."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from compactbio.miniature.language import random_sentence
from compactbio.miniature.vocabulary import make_lexicon

BERT = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
ROBERTA = {
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def sentences(count: int, seed: int) -> list[list[str]]:
    """Return sentences of the miniature as words, some with signs of real text."""
    lexicon, draw = make_lexicon(3), random.Random(seed)
    pool = {kind: lexicon.names(kind) for kind in ("disease", "gene", "chemical")}
    made = [list(random_sentence(lexicon, pool, draw).words) for _ in range(count)]
    for words in made[::3]:
        place = draw.randrange(len(words))
        words[place:place] = draw.choice([["(", "5'-end", ")"], ["naïve", "TNF-α"], ["p", "≥", "0.05", ",", "3%"]])
    return made


def _wordpiece(texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=400, special_tokens=[*BERT.values()]))
    return _framed(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")


def _bytes(special: dict[str, str]) -> Callable[[list[str]], Tokenizer]:
    def make(texts: list[str]) -> Tokenizer:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=[*special.values()], initial_alphabet=alphabet)
        tokenizer.train_from_iterator(texts, trainer)
        if special is BERT:
            return _framed(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]")
        ends = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "<s>")]
        tokenizer.post_processor = processors.RobertaProcessing(*ends, trim_offsets=True, add_prefix_space=False)
        return tokenizer

    return make


def _unigram(special: dict[str, str], *normalisers: Any) -> Callable[[list[str]], Tokenizer]:
    def make(texts: list[str]) -> Tokenizer:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.Sequence(list(normalisers))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(prepend_scheme="always")])
        options = {"special_tokens": [*special.values()], "unk_token": special["unk_token"]}
        tokenizer.train_from_iterator(texts, trainers.UnigramTrainer(vocab_size=300, **options))
        if special is ROBERTA:
            return _framed(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>")
        return _framed(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")

    return make


def _framed(tokenizer: Tokenizer, single: str, pair: str) -> Tokenizer:
    ends = [(token, tokenizer.token_to_id(token)) for token in {single.split()[0], single.split()[-1]}]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ends)
    return tokenizer


BLANKS = normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " ")


@dataclass(frozen=True)
class Published:
    """An encoder: how its tokenizer is made, its special tokens, and what config.json says beside the sizes."""

    tokenizer: Callable[[list[str]], Tokenizer]
    special: dict[str, str]
    options: dict[str, Any]


ENCODERS = {
    "electra": Published(_wordpiece, BERT, {"embedding_size": 16}),
    "roberta": Published(_bytes(ROBERTA), ROBERTA, {"type_vocab_size": 1}),
    "modernbert": Published(_bytes(BERT), BERT, {"local_attention": 8, "classifier_pooling": "mean"}),
    "deberta-v2": Published(
        _unigram(BERT, BLANKS, normalizers.NFC(), normalizers.Strip(left=False, right=True)),
        BERT,
        {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
    ),
    "albert": Published(
        _unigram(BERT, BLANKS, normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()),
        BERT,
        {"embedding_size": 16},
    ),
    "xlm-roberta": Published(_unigram(ROBERTA, BLANKS, normalizers.NFKC()), ROBERTA, {"type_vocab_size": 1}),
}


def publish(folder: Path, name: str, model_class: str = "AutoModelForMaskedLM", seed: int = 1) -> Any:
    """Write an encoder of random weights with its tokenizer, five embeddings spare, and return the model."""
    import torch
    import transformers

    kind = ENCODERS[name]
    folder.mkdir(parents=True)
    tokenizer = kind.tokenizer([" ".join(words) for words in sentences(300, 1)])
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, **kind.special}
    if kind.special is ROBERTA and isinstance(tokenizer.model, models.BPE):  # as RoBERTa was: without tokenizer.json
        tokenizer.model.save(str(folder))
        settings = {"model_max_length": 64}
    else:
        tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    numbers = {key: tokenizer.token_to_id(kind.special[f"{key[:3]}_token"]) for key in ("pad_token_id", "cls_token_id")}
    ends = dict.fromkeys(("sep_token_id", "eos_token_id"), tokenizer.token_to_id(kind.special["sep_token"]))
    configuration = transformers.AutoConfig.for_model(
        name,
        **(SIZES | kind.options | numbers | ends),
        bos_token_id=numbers["cls_token_id"],
        vocab_size=tokenizer.get_vocab_size() + 5,
        max_position_embeddings=66,
    )
    generator = torch.Generator().manual_seed(seed)
    model = getattr(transformers, model_class).from_config(configuration)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    model.save_pretrained(folder)
    return model.eval()
