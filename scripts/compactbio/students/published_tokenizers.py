"""Tokenizers of any kind, taken as they are published.

Where a folder has a tokenizer.json, this file decides and nothing rebuilds it: transformers 5 makes some tokenizers
anew from their class and a vocabulary, whatever the file says of normaliser and pre-tokenizer. Where its reading gives
other pieces than the file, the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.downloads.hub import ADDED_TOKENS, tokenizer_among
from compactbio.errors import UserError, reading
from compactbio.files import read_json, sha256_of_value, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ANY_CLASS = "PreTrainedTokenizerFast"  # written as their class: a name that older versions of transformers know too
SPECIAL = ("cls_token", "sep_token", "pad_token", "unk_token", "mask_token")
UNSTATED_LENGTH = 1_000_000  # tokens; transformers writes 1e30 where a tokenizer states no longest text
# Texts in which kinds of tokenizers differ: letters, signs, blanks, accents, numbers.
PROBES = (
    "TNF-\u03b1-induced apoptosis of na\u00efve T cells.",
    "  The 5'-end (ca. 3.5 kb),  HbA1c \u2265 7%; CD4+/CD8+",
    "\ufb01brin\tand H\u2082O",
)

log = logging.getLogger(__name__)


def published_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return the fast tokenizer of a folder as published.

    Raises:
        UserError: the folder has none, or only one whose casing is nowhere stated, or one that needs code of its own.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    from compactbio.students.models import quiet_transformers

    names = tokenizer_among(path.name for path in folder.iterdir())
    if not names:
        # transformers 5 would make one of a SentencePiece model without the normalisation that the model holds
        raise UserError(
            f"{folder} holds no tokenizer that is read: tokenizer.json, vocab.txt, or vocab.json and merges.txt are "
            "needed; of a SentencePiece model alone, a transformers below version 5 with sentencepiece makes "
            "tokenizer.json by AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        )
    stored = folder / "tokenizer.json"
    if not stored.is_file() and "vocab.txt" in names:
        stated_casing(folder)
    try:
        with quiet_transformers():
            theirs = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as many kinds as there are tokenizers
        if not stored.is_file():
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError(
                f"{folder}: transformers makes no fast tokenizer of its files ({lines[-1].strip()}): save it once "
                "with tokenizer.json, by AutoTokenizer.from_pretrained and save_pretrained where it works"
            ) from error
        theirs = None
    if not stored.is_file():
        if not isinstance(theirs, PreTrainedTokenizerFast):
            raise UserError(f"{folder} has no fast tokenizer: a tokenizer.json is needed")
        require_added(folder, theirs.get_vocab())
        return theirs
    special = {} if theirs is None else {key: str(value) for key in SPECIAL if (value := getattr(theirs, key))}
    ours = stored_tokenizer(folder, special, [] if theirs is None else theirs.model_input_names)
    require_added(folder, ours.get_vocab())
    if theirs is None or any(theirs.encode(text) != ours.encode(text) for text in PROBES):
        log.warning("%s decides, as published; this version of transformers reads it otherwise", stored)
    return ours


def stored_tokenizer(
    folder: Path, special: Mapping[str, str] | None = None, input_names: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a folder's tokenizer.json, and its special tokens and longest text as it states them.

    Args:
        special: special tokens by their keys, where tokenizer_config.json is silent.
        input_names: what its model takes, where tokenizer_config.json is silent.

    Raises:
        UserError: tokenizer.json is damaged, or encodes a text otherwise each time.
    """
    from transformers import PreTrainedTokenizerFast

    path, settings = folder / "tokenizer.json", tokenizer_settings(folder)
    named = {key: _content(settings[key]) for key in SPECIAL if settings.get(key)}
    with reading(path, "get it again, or save it again"):
        longest = stated_length(settings) or UNSTATED_LENGTH
        made = PreTrainedTokenizerFast(
            tokenizer_file=str(path), model_max_length=longest, **{**(special or {}), **named}
        )
    with reading(path, "get it again, or save it again"):
        for token in read_json(path, dict[str, Any]).get("added_tokens", []):
            found = made.backend_tokenizer.token_to_id(token["content"])
            if found != token["id"]:
                raise UserError(
                    f"{path} gives {token['content']!r} the id {token['id']}, and the package tokenizers gives it "
                    f"{found}: ids of added tokens have to follow the vocabulary's without gaps"
                )
    if getattr(made.backend_tokenizer.model, "dropout", None):
        raise UserError(f"{path} says dropout of merges: a text would get other ids each time; set it to null there")
    names = settings.get("model_input_names") or list(input_names)
    made.model_input_names = names or made.model_input_names
    made.backend_tokenizer.no_truncation()
    made.backend_tokenizer.no_padding()
    return made


def tokenizer_settings(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's tokenizer_config.json, empty where there is none."""
    path = folder / "tokenizer_config.json"
    return read_json(path, dict[str, Any]) if path.is_file() else {}


def stated_length(settings: Mapping[str, Any]) -> int | None:
    """Return how long a text may be by a tokenizer_config.json, None where it does not say."""
    longest = int(settings.get("model_max_length") or UNSTATED_LENGTH)
    return longest if longest < UNSTATED_LENGTH else None


def require_added(folder: Path, vocabulary: Mapping[str, int]) -> None:
    """Refuse a folder whose added_tokens.json has tokens, or ids of tokens, that its tokenizer has not.

    Raises:
        UserError: names the first of them.
    """
    path = folder / ADDED_TOKENS
    added = read_json(path, dict[str, Any]) if path.is_file() else {}
    lacking = sorted(token for token, number in added.items() if vocabulary.get(token) != number)
    if lacking:
        raise UserError(
            f"{path} has tokens that the tokenizer's other files have not, or with other ids, for example "
            f"{lacking[0]!r}: save the tokenizer with a current transformers (AutoTokenizer.from_pretrained, "
            "save_pretrained), which writes tokenizer.json"
        )


def stated_casing(folder: Path) -> bool:
    """Return whether a folder's tokenizer_config.json says that texts are lower-cased.

    Raises:
        UserError: it does not say; vocab.txt alone does not tell.
    """
    settings = tokenizer_settings(folder)
    if "do_lower_case" not in settings:
        raise UserError(
            f"{folder} states nowhere whether its tokenizer lower-cases: name one of `tokenizers` in the model's "
            "definition, whose lower_case says it"
        )
    return bool(settings["do_lower_case"])


def save_published(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json so that whoever loads them gets this very tokenizer."""
    from transformers import PreTrainedTokenizerFast

    special = {key: str(value) for key in SPECIAL if (value := getattr(tokenizer, key))}
    longest = min(int(tokenizer.model_max_length), UNSTATED_LENGTH)
    backend = tokenizer.backend_tokenizer
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=longest, **special).save_pretrained(str(folder))
    path = folder / "tokenizer_config.json"
    settings = read_json(path, dict[str, Any])
    settings["tokenizer_class"] = ANY_CLASS
    settings["model_input_names"] = list(tokenizer.model_input_names)
    write_json(path, settings)


def published_digest(folder: Path) -> str:
    """Return the sha256 of all in a folder's tokenizer.json that decides what a text is encoded to."""
    stored = read_json(folder / "tokenizer.json", dict[str, Any])
    parts = ("normalizer", "pre_tokenizer", "model", "post_processor", "added_tokens")
    return sha256_of_value({part: stored.get(part) for part in parts})


def _content(token: Any) -> str:
    """Return the text of a special token, which a tokenizer_config.json may describe."""
    return str(token["content"]) if isinstance(token, dict) else str(token)
