"""Tokenizers: BERT's WordPiece, whose vocabulary and casing are stated, never guessed; others as they are published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from compactbio.errors import UserError, reading
from compactbio.files import read_json, require_recorded, sha256_of_value
from compactbio.students.framing import bert_frame, read_frame
from compactbio.students.published_tokenizers import (
    ANY_CLASS,
    published_digest,
    save_published,
    stated_length,
    stored_tokenizer,
    tokenizer_settings,
)
from compactbio.students.tokenizer_files import (
    SPECIAL_TOKENS,
    TokenizerFacts,
    published_facts,
    read_vocabulary,
    stored_facts,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BERT_LENGTH = 512  # tokens of the longest text, where tokenizer_config.json does not say
FETCH_AGAIN = "fetch or make its folder again"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


class Golden(TypedDict):
    """A text and the ids that a tokenizer must give for it."""

    text: str
    ids: list[int]


class TokenizerDefinition(TypedDict):
    """`tokenizers.<name>` of the configuration."""

    checkpoint: str
    lower_case: bool
    vocabulary_size: int
    golden: Golden | None


def build_tokenizer(vocab_file: Path, lower_case: bool, max_length: int = BERT_LENGTH) -> PreTrainedTokenizerFast:
    """Return the BERT tokenizer of a vocabulary file, `[CLS] A [SEP] B [SEP]` with token types 0 and 1.

    Accents are stripped exactly when the text is lower-cased, as the original BERT did.
    """
    return tokenizer_of_vocabulary(read_vocabulary(vocab_file), lower_case, max_length)


def tokenizer_of_vocabulary(
    vocabulary: dict[str, int], lower_case: bool, max_length: int = BERT_LENGTH, added: Sequence[dict[str, Any]] = ()
) -> PreTrainedTokenizerFast:
    """Return the BERT tokenizer of {token: id}; `max_length` is recorded as its model_max_length.

    Args:
        added: tokens that are found before a text is cut into words, as tokenizer.json describes them.
    """
    from tokenizers import AddedToken
    from transformers import BertTokenizer

    apart = {token["content"] for token in added}
    last = max((number for token, number in vocabulary.items() if token not in apart), default=0)
    # `vocab=` and not `vocab_file=`: transformers 5 ignores the latter and builds five tokens in silence.
    tokenizer = BertTokenizer(
        vocab={token: number for token, number in vocabulary.items() if number <= last},
        do_lower_case=lower_case,
        strip_accents=None,  # follows do_lower_case
        tokenize_chinese_chars=True,
        model_max_length=max_length,
        **SPECIAL_TOKENS,
    )
    for token in added:
        tokenizer.add_tokens(AddedToken(**token), special_tokens=token.get("special", False))
    if tokenizer.get_vocab() != vocabulary:
        raise RuntimeError(f"built another tokenizer, of {len(tokenizer)} tokens, from {len(vocabulary)}")
    return tokenizer


def tokenizer_from_files(folder: Path, lower_case: bool) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a folder as published, with the casing that is stated; see `published_facts`."""
    path = folder / "tokenizer.json"
    with reading(path if path.is_file() else folder / "tokenizer_config.json", FETCH_AGAIN):
        facts = published_facts(folder, lower_case)
        longest = stated_length(tokenizer_settings(folder)) or BERT_LENGTH
    return tokenizer_of_vocabulary(facts.vocabulary, facts.lower_case, longest, facts.added)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a folder written by `save_tokenizer` (or of any with a tokenizer.json)."""
    if not (folder / "tokenizer.json").is_file():
        raise UserError(f"{folder} has no tokenizer.json: give a folder made by fetch_checkpoint or initialise_student")
    # Built from the facts that the digest covers, so that equal digests mean equal encodings,
    # whatever class name a tokenizer_config.json or config.json suggests to AutoTokenizer.
    require_recorded(folder, TOKENIZER_FILES)
    settings = tokenizer_settings(folder)
    if settings.get("tokenizer_class") == ANY_CLASS or not is_bert_wordpiece(folder):
        return stored_tokenizer(folder)
    with reading(folder / "tokenizer_config.json", FETCH_AGAIN):
        longest = int(settings.get("model_max_length", BERT_LENGTH))
    facts = _facts_of(folder)
    with reading(folder / "tokenizer.json", FETCH_AGAIN):
        return tokenizer_of_vocabulary(facts.vocabulary, facts.lower_case, longest, facts.added)


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a tokenizer's files as AutoTokenizer reads them; of BERT's also vocab.txt, for older tools."""
    from transformers import BertTokenizer

    if not isinstance(tokenizer, BertTokenizer):
        save_published(tokenizer, folder)
        return
    tokenizer.save_pretrained(str(folder))
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_bytes("".join(f"{token}\n" for token, _ in tokens).encode())


def tokenizer_digest(folder: Path) -> str:
    """Return the sha256 of {"vocab": {token: id}, "lower_case": bool} of a folder's tokenizer.json.

    It identifies a tokenizer: equal digests give equal ids for every text. Tokens that were added are part of it. Of
    one that is not BERT's WordPiece it is that of all the file says of how texts are encoded.
    """
    if not is_bert_wordpiece(folder):
        return published_digest(folder)
    facts = _facts_of(folder)
    identity = {"vocab": facts.vocabulary, "lower_case": facts.lower_case}
    return sha256_of_value(identity | ({"added": facts.added} if facts.added else {}))


def is_bert_wordpiece(folder: Path) -> bool:
    """Return whether a folder's tokenizer.json is BERT's WordPiece, of which its facts (TokenizerFacts) say all."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    stored = read_json(path, dict[str, Any])
    with reading(path, FETCH_AGAIN):
        if (stored.get("normalizer") or {}).get("type") != "BertNormalizer":
            return False
        try:
            vocabulary = stored_facts(stored, path).vocabulary
            cls, sep = (vocabulary[SPECIAL_TOKENS[key]] for key in ("cls_token", "sep_token"))
            tokenizer = Tokenizer.from_file(str(path))
            tokenizer.no_truncation()
            tokenizer.no_padding()
            return read_frame(tokenizer, cls, sep, str(path)) == bert_frame(cls, sep)
        except UserError:  # texts are cut or framed otherwise
            return False


def special_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Return the ids of "pad", "mask", those of "unk", "cls" and "sep" that there are, and other special tokens'."""
    named = {name.removesuffix("_token"): getattr(tokenizer, f"{name}_id") for name in SPECIAL_TOKENS}
    ids = {name: number for name, number in named.items() if number is not None}
    known, added = set(ids.values()), tokenizer.added_tokens_decoder
    others = {number: token.content for number, token in added.items() if token.special and number not in known}
    return ids | {f"added {content}": number for number, content in sorted(others.items())}


def require_trainable(tokenizer: PreTrainedTokenizerFast, max_length: int, where: Path) -> None:
    """Refuse a tokenizer that no masked language model is trained with on sequences of this length.

    Raises:
        UserError: it has no token for padding or for masking, or its texts are shorter.
    """
    lacking = [name for name in ("pad_token", "mask_token") if getattr(tokenizer, name) is None]
    if lacking:
        raise UserError(
            f"{where / 'tokenizer_config.json'} names no {' and no '.join(lacking)}: a masked language model is not "
            "trained without; name the one that the model was made with"
        )
    if max_length > tokenizer.model_max_length:
        raise UserError(
            f"corpus.max_length is {max_length}, but {where / 'tokenizer_config.json'}, model_max_length, allows "
            f"{tokenizer.model_max_length}: set corpus.max_length to {tokenizer.model_max_length} or less"
        )


def check_tokenizer(tokenizer: PreTrainedTokenizerFast, definition: TokenizerDefinition, name: str = "<name>") -> None:
    """Compare a tokenizer with its definition (`tokenizers.<name>` of the configuration).

    Raises:
        UserError: its size, casing, or golden encoding differs.
    """
    key = f"tokenizers.{name}"
    size, expected = len(tokenizer), definition["vocabulary_size"]
    if size != expected:
        raise UserError(
            f"the tokenizer has {size:,} tokens where {key}.vocabulary_size says {expected:,}: "
            "it is another vocabulary; name the tokenizer that the model was made with"
        )
    lower_case = stored_facts(json.loads(tokenizer.backend_tokenizer.to_str()), Path("the tokenizer")).lower_case
    if lower_case != definition["lower_case"]:
        raise UserError(
            f"the tokenizer was saved with lower_case: {str(lower_case).lower()} where {key}.lower_case says "
            f"{str(definition['lower_case']).lower()}: correct the key, or remake the tokenizer's folder"
        )
    golden = definition.get("golden")
    if golden is None:
        return
    ids = list(tokenizer(golden["text"])["input_ids"])
    if ids != list(golden["ids"]):
        raise UserError(
            f"the text of {key}.golden gives other ids than stated: the vocabulary or its casing differs\n"
            f"  text     {golden['text']}\n  expected {list(golden['ids'])}\n  got      {ids}"
        )


def _facts_of(folder: Path) -> TokenizerFacts:
    """Return what a folder's tokenizer.json says."""
    path = folder / "tokenizer.json"
    stored = read_json(path)
    with reading(path, FETCH_AGAIN):
        return stored_facts(stored, path)
