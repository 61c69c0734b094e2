"""What the kinds of task share: the tokenizer read without transformers, and features as arrays.

What stands before, between and behind texts is the tokenizer's own template, and words are cut as inside a text:
byte-level and SentencePiece vocabularies have other pieces for a word with a blank before it, which nearly every word
of their pre-training had.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Encoding, Tokenizer
from tokenizers.models import WordLevel, WordPiece

from compactbio.architectures import longest_sequence
from compactbio.errors import UserError, reading
from compactbio.files import read_json, require_recorded
from compactbio.students.framing import read_frame

MODEL_AGAIN = "fetch or export the model again"
BERT_TOKENS = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
IGNORED = -100  # torch's own index for targets that count in no loss


@dataclass(frozen=True)
class Feature:
    """One sequence for the model.

    Attributes:
        ids: int64 [length], [CLS] and [SEP] included, without padding.
        first_segment: pieces with token type 0; the rest have type 1.
        targets: what the loss needs, each int64 [length] or a scalar array.
    """

    ids: np.ndarray
    first_segment: int
    targets: dict[str, np.ndarray] = field(default_factory=dict)


class PieceTokenizer:
    """The tokenizer of a model folder, with the ids and the length limit that features need.

    Tokens in `added` are kept whole wherever they stand in a text; those that the vocabulary lacks get ids after its
    last. `vocabulary` is the number of ids then. `reads_blanks` says whether the blank before a word is part of it.
    """

    def __init__(self, folder: Path, added: Sequence[str] = ()) -> None:
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise UserError(f"{path} is missing: fine-tuning needs the model's fast tokenizer in its folder")
        require_recorded(folder, (path.name, "tokenizer_config.json", "config.json"))
        with reading(path, MODEL_AGAIN):
            self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.reads_blanks = not isinstance(self._tokenizer.model, WordPiece | WordLevel)
        # not normalised: a marker is found as it is written, before letters are made small; the blank before it would
        # be a piece of its own
        self._tokenizer.add_special_tokens(
            [AddedToken(token, normalized=False, lstrip=self.reads_blanks) for token in added]
        )
        self.vocabulary = self._tokenizer.get_vocab_size()
        settings = _read_if_there(folder / "tokenizer_config.json")
        with reading(folder / "tokenizer_config.json", MODEL_AGAIN):
            cls, sep, pad = (self._special_id(settings, *token) for token in BERT_TOKENS.items())
            self.frame = read_frame(self._tokenizer, cls, sep, str(path))
            longest = settings.get("model_max_length")
            self._limits = {"tokenizer_config.json, model_max_length": None if longest is None else int(longest)}
        if pad is None:
            raise UserError(f"{path} has no {settings.get('pad_token') or BERT_TOKENS['pad_token']} token for padding")
        self.pad = pad
        configuration = _read_if_there(folder / "config.json")
        with reading(folder / "config.json", MODEL_AGAIN):
            longest = int(longest_sequence(configuration, folder / "config.json")) if configuration else None
            self._limits["config.json, max_position_embeddings"] = longest
        self.folder = folder

    def save(self, folder: Path) -> None:
        """Write tokenizer.json, added tokens included, and tokenizer_config.json to a folder."""
        self._tokenizer.save(str(folder / "tokenizer.json"))
        if (self.folder / "tokenizer_config.json").is_file():
            shutil.copyfile(self.folder / "tokenizer_config.json", folder / "tokenizer_config.json")

    def require_length(self, max_length: int) -> None:
        """Refuse a sequence length beyond what the tokenizer or the model's positions allow.

        Raises:
            UserError: names the file and key that set the smaller limit.
        """
        for where, limit in self._limits.items():
            if limit is not None and max_length > limit:
                raise UserError(
                    f"finetuning max_length is {max_length}, but {self.folder / where} allows {limit}: "
                    f"set max_length to {limit} or less"
                )

    def encode_texts(self, texts: Sequence[str]) -> list[Encoding]:
        """Return the pieces of each text without special tokens; offsets are characters of the text."""
        return self._tokenizer.encode_batch(list(texts), add_special_tokens=False)

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> list[Encoding]:
        """Return the pieces of each list of words; `word_ids` are the indices of the words.

        Every word, the first one too, is cut as one with a blank before it, which is what transformers' option
        `add_prefix_space` makes of lists of words.
        """
        blank = " " if self.reads_blanks else ""
        return self._tokenizer.encode_batch(
            [[f"{blank}{word}" for word in words] for words in sentences],
            is_pretokenized=True,
            add_special_tokens=False,
        )

    def _special_id(self, settings: dict[str, Any], key: str, default: str) -> int | None:
        """Return the id of a special token that tokenizer_config.json may rename, None where there is none."""
        token = settings.get(key) or default
        return self._tokenizer.token_to_id(token["content"] if isinstance(token, dict) else token)


def collate(
    features: Sequence[Feature], pad: int, *, token_types: bool, length: int | None = None
) -> dict[str, np.ndarray]:
    """Return a batch padded to a length, to that of its longest sequence where none is given.

    Returns:
        input_ids, attention_mask (and token_type_ids), int64 [batch, length]; every target, padded with
        IGNORED to [batch, length] or stacked to [batch] if it is a scalar.
    """
    shape = (len(features), length or max(len(feature.ids) for feature in features))
    batch = {"input_ids": np.full(shape, pad, np.int64), "attention_mask": np.zeros(shape, np.int64)}
    if token_types:
        batch["token_type_ids"] = np.zeros(shape, np.int64)
    for row, feature in enumerate(features):
        pieces = len(feature.ids)
        batch["input_ids"][row, :pieces] = feature.ids
        batch["attention_mask"][row, :pieces] = 1
        if token_types:
            batch["token_type_ids"][row, feature.first_segment : pieces] = 1
    for name, example in features[0].targets.items():
        if example.ndim == 0:
            batch[name] = np.stack([feature.targets[name] for feature in features])
            continue
        batch[name] = np.full(shape, IGNORED, np.int64)
        for row, feature in enumerate(features):
            batch[name][row, : len(feature.ids)] = feature.targets[name]
    return batch


def join(features: Sequence[Feature], *, token_types: bool) -> dict[str, np.ndarray]:
    """Return sequences packed one behind the other.

    Returns:
        input_ids, position_ids, which begin anew at each sequence, (and token_type_ids), int64 [1, pieces]; every
        target joined to [1, pieces] or stacked to [sequences] if it is a scalar.
    """
    columns = [np.arange(len(feature.ids)) for feature in features]
    parts = {"input_ids": [feature.ids for feature in features], "position_ids": columns}
    if token_types:
        pairs = zip(columns, features, strict=True)
        parts["token_type_ids"] = [(column >= feature.first_segment).astype(np.int64) for column, feature in pairs]
    stacked = {}
    for name, example in features[0].targets.items():
        values = [feature.targets[name] for feature in features]
        if example.ndim == 0:
            stacked[name] = np.stack(values)
        else:
            parts[name] = values
    return {name: np.concatenate(arrays)[None] for name, arrays in parts.items()} | stacked


def _read_if_there(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, empty if there is none."""
    return read_json(path, dict[str, Any], MODEL_AGAIN) if path.is_file() else {}
