"""Tokenizers of any kind, taken as they are published, for models that are evaluated.

Where a folder has a tokenizer.json, this file decides and nothing rebuilds it: transformers 5 makes some tokenizers
anew from their class and a vocabulary, whatever the file says of normaliser and pre-tokenizer. Where its reading gives
other pieces than the file, the log says so.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.downloads.hub import tokenizer_among
from compactbio.errors import UserError, reading
from compactbio.files import read_json, sha256_of_value, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

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
    settings_file, stored = folder / "tokenizer_config.json", folder / "tokenizer.json"
    settings = read_json(settings_file, dict[str, Any]) if settings_file.is_file() else {}
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
        return theirs
    special = {key: _content(settings[key]) for key in SPECIAL if settings.get(key)}
    if theirs is not None:
        special = {key: str(value) for key in SPECIAL if (value := getattr(theirs, key))} | special
    with reading(stored, "get it again, or save it again"):
        longest = min(int(settings.get("model_max_length") or UNSTATED_LENGTH), UNSTATED_LENGTH)
        ours = PreTrainedTokenizerFast(tokenizer_file=str(stored), model_max_length=longest, **special)
    ours.model_input_names = settings.get("model_input_names") or (theirs or ours).model_input_names
    ours.backend_tokenizer.no_truncation()
    ours.backend_tokenizer.no_padding()
    if theirs is None or any(theirs.encode(text) != ours.encode(text) for text in PROBES):
        log.warning("%s decides, as published; this version of transformers reads it otherwise", stored)
    return ours


def stated_casing(folder: Path) -> bool:
    """Return whether a folder's tokenizer_config.json says that texts are lower-cased.

    Raises:
        UserError: it does not say; vocab.txt alone does not tell.
    """
    path = folder / "tokenizer_config.json"
    settings = read_json(path, dict[str, Any]) if path.is_file() else {}
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
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # a name that older versions know too
    settings["model_input_names"] = list(tokenizer.model_input_names)
    write_json(path, settings)


def published_digest(folder: Path) -> str:
    """Return the sha256 of all in a folder's tokenizer.json that decides what a text is encoded to."""
    stored = read_json(folder / "tokenizer.json", dict[str, Any])
    parts = ("normalizer", "pre_tokenizer", "model", "post_processor", "added_tokens")
    return sha256_of_value({part: stored.get(part) for part in parts})


def is_bert_wordpiece(folder: Path) -> bool:
    """Return whether a folder's tokenizer.json is BERT's WordPiece, which has a digest of its own."""
    path = folder / "tokenizer.json"
    stored = read_json(path, dict[str, Any])
    with reading(path, "fetch or make its folder again"):
        return (stored.get("normalizer") or {}).get("type") == "BertNormalizer"


def _content(token: Any) -> str:
    """Return the text of a special token, which a tokenizer_config.json may describe."""
    return str(token["content"]) if isinstance(token, dict) else str(token)
