"""BERT WordPiece tokenizers whose vocabulary and casing are stated, never guessed."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from compactbio.errors import UserError
from compactbio.files import read_json, sha256_of_value

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")

log = logging.getLogger(__name__)


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


def read_vocabulary(vocab_file: Path) -> dict[str, int]:
    """Return {token: id} of a vocab.txt, where a token's id is its line number from 0.

    Raises:
        UserError: the file is missing, is not text, holds a token twice, or lacks a special token.
    """
    try:
        text = vocab_file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{vocab_file} does not exist") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{vocab_file} is not a vocabulary: it is not UTF-8 text ({error})") from None
    # Split on "\n" alone: str.splitlines would also split on the Unicode line ends that are tokens here.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    vocabulary = {token: number for number, token in enumerate(lines)}
    if len(vocabulary) != len(lines):
        repeated = next(token for number, token in enumerate(lines) if vocabulary[token] != number)
        raise UserError(f"{vocab_file} holds the token {repeated!r} more than once: ids would be ambiguous")
    _require_special_tokens(vocabulary, vocab_file)
    return vocabulary


def build_tokenizer(vocab_file: Path, lower_case: bool, max_length: int = 512) -> PreTrainedTokenizerFast:
    """Return the BERT tokenizer of a vocabulary file, `[CLS] A [SEP] B [SEP]` with token types 0 and 1.

    Accents are stripped exactly when the text is lower-cased, as the original BERT did.
    """
    return tokenizer_of_vocabulary(read_vocabulary(vocab_file), lower_case, max_length)


def tokenizer_of_vocabulary(
    vocabulary: dict[str, int], lower_case: bool, max_length: int = 512
) -> PreTrainedTokenizerFast:
    """Return the BERT tokenizer of {token: id}; `max_length` is recorded as its model_max_length."""
    from transformers import BertTokenizer

    # `vocab=` and not `vocab_file=`: transformers 5 ignores the latter and builds five tokens in silence.
    tokenizer = BertTokenizer(
        vocab=dict(vocabulary),
        do_lower_case=lower_case,
        strip_accents=None,  # follows do_lower_case
        tokenize_chinese_chars=True,
        model_max_length=max_length,
        **SPECIAL_TOKENS,
    )
    if len(tokenizer) != len(vocabulary):
        raise RuntimeError(f"built a tokenizer of {len(tokenizer)} tokens from {len(vocabulary)}")
    return tokenizer


def tokenizer_from_files(folder: Path, lower_case: bool) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a folder as published: from its vocab.txt or, without one, its tokenizer.json.

    The casing is the caller's: BERT folders of 2019 do not record it, and some record it wrongly.
    """
    vocab_file, tokenizer_file = folder / "vocab.txt", folder / "tokenizer.json"
    stored = read_json(tokenizer_file) if tokenizer_file.is_file() else None
    recorded = _recorded_casing(folder, stored)
    if recorded is not None and recorded != lower_case:
        words = "%s records lower-casing as %s; the tokenizer's definition says %s, which is used"
        log.warning(words, folder, recorded, lower_case)
    if vocab_file.is_file():
        return build_tokenizer(vocab_file, lower_case)
    if stored is None:
        raise UserError(f"{folder} holds no tokenizer: it needs vocab.txt or tokenizer.json")
    return tokenizer_of_vocabulary(_stored_vocabulary(stored, tokenizer_file), lower_case)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a folder written by `save_tokenizer` (or of any with a tokenizer.json)."""
    if not (folder / "tokenizer.json").is_file():
        raise UserError(f"{folder} has no tokenizer.json: give a folder made by fetch_checkpoint or initialise_student")
    # Built from the two facts that the digest covers, so that equal digests mean equal encodings,
    # whatever class name a tokenizer_config.json or config.json suggests to AutoTokenizer.
    settings_file = folder / "tokenizer_config.json"
    settings = read_json(settings_file) if settings_file.is_file() else {}
    return tokenizer_of_vocabulary(*_vocabulary_and_casing(folder), int(settings.get("model_max_length", 512)))


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and vocab.txt, as AutoTokenizer and older tools read."""
    tokenizer.save_pretrained(str(folder))
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_bytes("".join(f"{token}\n" for token, _ in tokens).encode())


def tokenizer_digest(folder: Path) -> str:
    """Return the sha256 of {"vocab": {token: id}, "lower_case": bool} of a folder's tokenizer.json.

    It identifies a tokenizer: equal digests give equal ids for every text.
    """
    vocabulary, lower_case = _vocabulary_and_casing(folder)
    return sha256_of_value({"vocab": vocabulary, "lower_case": lower_case})


def special_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Return {"pad", "unk", "cls", "sep", "mask"} with their ids."""
    vocabulary = tokenizer.get_vocab()
    return {name.removesuffix("_token"): vocabulary[token] for name, token in SPECIAL_TOKENS.items()}


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
    lower_case = _stored_casing(json.loads(tokenizer.backend_tokenizer.to_str()), Path("the tokenizer"))
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


def _require_special_tokens(vocabulary: dict[str, int], path: Path) -> None:
    """Raise UserError unless every special token has an id."""
    missing = [token for token in SPECIAL_TOKENS.values() if token not in vocabulary]
    if missing:
        raise UserError(f"{path} is not a BERT vocabulary: {', '.join(missing)} missing (one token a line is expected)")


def _vocabulary_and_casing(folder: Path) -> tuple[dict[str, int], bool]:
    """Return {token: id} of a folder's tokenizer.json, and whether it lower-cases."""
    path = folder / "tokenizer.json"
    stored = read_json(path)
    return _stored_vocabulary(stored, path), _stored_casing(stored, path)


def _stored_vocabulary(stored: Any, path: Path) -> dict[str, int]:
    """Return {token: id} of a parsed tokenizer.json, in the order of ids, without gaps."""
    model = stored.get("model", {}) if isinstance(stored, dict) else {}
    # Very old files leave the model's type out; continuing_subword_prefix tells WordPiece from BPE.
    kind = model.get("type") or ("WordPiece" if model.get("continuing_subword_prefix") == "##" else "unknown")
    if kind != "WordPiece":
        raise UserError(f"{path} describes a {kind} tokenizer; BERT's WordPiece is the only kind supported")
    vocabulary = dict(model["vocab"])
    for token in stored.get("added_tokens", []):
        vocabulary.setdefault(token["content"], token["id"])
    ordered = dict(sorted(vocabulary.items(), key=lambda item: item[1]))
    if list(ordered.values()) != list(range(len(ordered))):
        raise UserError(f"{path} has gaps or repetitions in its ids: it cannot serve as a BERT vocabulary")
    _require_special_tokens(ordered, path)
    return ordered


def _stored_casing(stored: Any, path: Path) -> bool:
    """Return whether a parsed tokenizer.json lower-cases, refusing normalisers other than BERT's."""
    normaliser = stored.get("normalizer") or {}
    if normaliser.get("type") != "BertNormalizer":
        raise UserError(f"{path} has no BertNormalizer: remake the folder with fetch_checkpoint")
    lower_case = bool(normaliser["lowercase"])
    if normaliser.get("strip_accents") not in (None, lower_case):
        raise UserError(f"{path} strips accents without regard to its casing, which is not supported")
    return lower_case


def _recorded_casing(folder: Path, stored: Any) -> bool | None:
    """Return the casing that a published folder records, or None where it is silent."""
    settings_file = folder / "tokenizer_config.json"
    if settings_file.is_file():
        recorded = read_json(settings_file).get("do_lower_case")
        if recorded is not None:
            return bool(recorded)
    normaliser = (stored or {}).get("normalizer") or {}
    return bool(normaliser["lowercase"]) if "lowercase" in normaliser else None
