"""What a folder's tokenizer files say, and refusals of what BERT's WordPiece here would encode otherwise."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compactbio.downloads.content import encoding_advice
from compactbio.errors import UserError, require_file
from compactbio.files import read_json
from compactbio.students.published_tokenizers import require_added, tokenizer_settings

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_ADDED_KEYS = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
# What a tokenizer here always does, by the names of tokenizer.json and of tokenizer_config.json.
_NORMALISER = {"clean_text": True, "handle_chinese_chars": True}
_SETTINGS = {"tokenize_chinese_chars": True, "do_basic_tokenize": True, "never_split": None}
_MODEL = {"unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}

AS_PUBLISHED = "`tokenizer: null` takes it as published"
LARGEST_VOCABULARY = 2**26  # bytes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TokenizerFacts:
    """All that decides what a text is encoded to.

    Attributes:
        vocabulary: {token: id} of all tokens, in the order of ids from 0, without gaps.
        lower_case: whether texts are lower-cased and their accents stripped.
        added: tokens found in a text before it is cut into words, as tokenizer.json describes each.
    """

    vocabulary: dict[str, int]
    lower_case: bool
    added: list[dict[str, Any]] = field(default_factory=list)


def read_vocabulary(vocab_file: Path) -> dict[str, int]:
    """Return {token: id} of a vocab.txt, where a token's id is its line number from 0.

    Raises:
        UserError: the file is missing, is not text, holds a token twice, or lacks a special token.
    """
    require_file(vocab_file, LARGEST_VOCABULARY)
    try:
        content = vocab_file.read_bytes()
        text = content.decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{vocab_file} does not exist") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{vocab_file} is not a vocabulary: it is not UTF-8 text ({error}). {encoding_advice(content)}"
        ) from None
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


def published_facts(folder: Path, lower_case: bool) -> TokenizerFacts:
    """Return the facts of a folder as published: its tokenizer.json or, without one, its vocab.txt.

    The casing is the caller's: BERT folders of 2019 do not record it, and some record it wrongly.

    Raises:
        UserError: there is neither file, or a file asks for what would be encoded otherwise here.
    """
    vocab_file, tokenizer_file = folder / "vocab.txt", folder / "tokenizer.json"
    settings_file, settings = folder / "tokenizer_config.json", tokenizer_settings(folder)
    stored = read_json(tokenizer_file) if tokenizer_file.is_file() else None
    normaliser = (stored.get("normalizer") if isinstance(stored, dict) else None) or {}
    recorded = settings.get("do_lower_case", normaliser.get("lowercase"))
    if recorded is not None and bool(recorded) != lower_case:
        words = "%s records lower-casing as %s; the tokenizer's definition says %s, which is used"
        log.warning(words, folder, bool(recorded), lower_case)
    _refuse_others(settings, _SETTINGS, settings_file)
    for path, values in ((settings_file, settings), (tokenizer_file, normaliser)):
        if values.get("strip_accents") not in (None, lower_case):
            raise UserError(
                f"{path} says strip_accents: {str(values['strip_accents']).lower()} where texts are "
                f"{'' if lower_case else 'not '}lower-cased: accents are stripped here exactly if they are, so its "
                f"model would see other tokens than it was made with; {AS_PUBLISHED}"
            )
    if stored is not None:
        return TokenizerFacts(stored_vocabulary(stored, tokenizer_file), lower_case, _added(stored))
    if not vocab_file.is_file():
        raise UserError(f"{folder} holds no tokenizer: it needs vocab.txt or tokenizer.json")
    vocabulary = read_vocabulary(vocab_file)
    require_added(folder, vocabulary)
    return TokenizerFacts(vocabulary, lower_case)


def stored_facts(stored: Any, path: Path) -> TokenizerFacts:
    """Return the facts of a parsed tokenizer.json of a folder that the workflow wrote.

    Raises:
        UserError: it is of another kind, or strips accents without regard to its casing.
    """
    normaliser = (stored.get("normalizer") if isinstance(stored, dict) else None) or {}
    if normaliser.get("type") != "BertNormalizer":
        raise UserError(f"{path} has no BertNormalizer: remake the folder with fetch_checkpoint")
    lower_case = bool(normaliser.get("lowercase"))
    if normaliser.get("strip_accents") not in (None, lower_case):
        raise UserError(f"{path} strips accents without regard to its casing, which is not supported")
    return TokenizerFacts(stored_vocabulary(stored, path), lower_case, _added(stored))


def stored_vocabulary(stored: Any, path: Path) -> dict[str, int]:
    """Return {token: id} of a parsed tokenizer.json, added tokens as well, in the order of ids, without gaps."""
    model = stored.get("model") if isinstance(stored, dict) else None
    model = model if isinstance(model, dict) else {}
    # Very old files leave the model's type out; continuing_subword_prefix tells WordPiece from BPE.
    kind = model.get("type") or ("WordPiece" if model.get("continuing_subword_prefix") == "##" else "unknown")
    if kind != "WordPiece":
        raise UserError(f"{path} describes a {kind} tokenizer; `tokenizers` has BERT's WordPiece alone: {AS_PUBLISHED}")
    _refuse_others(model, _MODEL, path)
    _refuse_others(stored.get("normalizer") or {}, _NORMALISER, path)
    cutter = (stored.get("pre_tokenizer") or {}).get("type", "BertPreTokenizer")
    if cutter != "BertPreTokenizer":
        raise UserError(
            f"{path} cuts texts into words by {cutter}; `tokenizers` has BertPreTokenizer alone: {AS_PUBLISHED}"
        )
    try:
        vocabulary = dict(model["vocab"])
        for token in stored.get("added_tokens", []):
            vocabulary.setdefault(token["content"], token["id"])
        ordered = dict(sorted(vocabulary.items(), key=lambda item: item[1]))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} has no vocabulary of tokens and ids: get it again, or save it again") from None
    if list(ordered.values()) != list(range(len(ordered))):
        raise UserError(f"{path} has gaps or repetitions in its ids: it cannot serve as a BERT vocabulary")
    _require_special_tokens(ordered, path)
    return ordered


def _added(stored: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tokens that were added to a vocabulary, BERT's own special ones left out, in the order of ids."""
    tokens = (token for token in stored.get("added_tokens", []) if token["content"] not in SPECIAL_TOKENS.values())
    return [{key: token[key] for key in _ADDED_KEYS if key in token} for token in sorted(tokens, key=lambda t: t["id"])]


def _refuse_others(values: dict[str, Any], supported: dict[str, Any], path: Path) -> None:
    """Raise UserError where a file has another value than the only one that is supported."""
    for key, wanted in supported.items():
        if values.get(key, wanted) not in (wanted, None):
            raise UserError(f"{path} says {key}: {values[key]!r}; of `tokenizers` it is {wanted!r}: {AS_PUBLISHED}")


def _require_special_tokens(vocabulary: dict[str, int], path: Path) -> None:
    """Raise UserError unless every special token has an id."""
    missing = [token for token in SPECIAL_TOKENS.values() if token not in vocabulary]
    if missing:
        raise UserError(f"{path} is not a BERT vocabulary: {', '.join(missing)} missing (one token a line is expected)")
