"""Exact parameter counts of a model folder, read from the headers of its weights: no tensor is loaded."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import read_json

_BASE_PREFIXES = ("bert.", "distilbert.", "mobilebert.")
_ENCODER_PREFIXES = ("encoder.", "transformer.")
_FLOAT_TYPES = frozenset({"F64", "F32", "F16", "BF16"})  # integer tensors are buffers (position ids)
_LARGEST_HEADER = 100 * 1024 * 1024  # bytes, the format's own limit


@dataclass(frozen=True, slots=True)
class ParameterCounts:
    """Numbers of parameters of the parts of one model."""

    embeddings: int  # word, position and type embeddings with what belongs to them (MobileBERT's projection)
    layers: int  # the encoder's layers
    pooler: int  # the pooler of the architecture, whether or not this folder stores one
    head: int  # what is stored beside the encoder and its pooler: the MLM head, tied weights once

    @property
    def encoder(self) -> int:
        """The encoder without pooler and head."""
        return self.embeddings + self.layers

    def as_dict(self) -> dict[str, int]:
        """Return the parts and the sums that tables print."""
        sums = {
            "encoder": self.encoder,
            "encoder_with_pooler": self.encoder + self.pooler,
            "encoder_without_embeddings": self.layers,
        }
        return asdict(self) | sums


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model folder.

    Raises:
        UserError: there is none.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(
            f"{folder} holds no .safetensors file: give a folder that fetch_checkpoint or export_model made"
        )
    return files


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the floating-point tensors of a safetensors file by name.

    The format: 8 bytes with the length n of the header (unsigned, little endian), then n bytes of JSON that maps
    a tensor's name to its dtype, shape and place.

    Raises:
        UserError: the file is not in that format.
    """
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= min(_LARGEST_HEADER, path.stat().st_size - 8):
            raise UserError(f"{path} is not a safetensors file: its header is missing or cut; fetch or export it again")
        try:
            header = json.loads(stream.read(length))
            return {
                name: tuple(facts["shape"])
                for name, facts in header.items()
                if name != "__metadata__" and facts["dtype"] in _FLOAT_TYPES
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(
                f"{path} is not a safetensors file: its header is no JSON table of tensors; fetch or export it again"
            ) from None


def count_parameters(folder: Path) -> ParameterCounts:
    """Return the parameter counts of a model folder (config.json, *.safetensors)."""
    config = read_json(folder / "config.json")
    parts = {"embeddings": 0, "layers": 0, "pooler": 0, "head": 0}
    for path in weight_files(folder):
        for name, shape in read_shapes(path).items():
            parts[_part_of(name)] += math.prod(shape)
    if not parts["layers"]:
        raise UserError(
            f"{folder} holds no encoder layers: its tensors are not those of BERT, DistilBERT or MobileBERT"
        )
    parts["pooler"] = parts["pooler"] or _pooler_size(config)
    return ParameterCounts(**parts)


def _part_of(name: str) -> str:
    """Return the part of the model that a tensor's name belongs to."""
    for prefix in _BASE_PREFIXES:
        name = name.removeprefix(prefix)
    if name.startswith("embeddings."):
        return "embeddings"
    if name.startswith(_ENCODER_PREFIXES):
        return "layers"
    return "pooler" if name.startswith("pooler.") else "head"


def _pooler_size(config: dict[str, Any]) -> int:
    """Return the size of an architecture's pooler: a dense layer in BERT (MobileBERT: a switch), none in DistilBERT."""
    kind = config.get("model_type")
    if kind == "bert" or (kind == "mobilebert" and config.get("classifier_activation", True)):
        hidden = config["hidden_size"]
        return hidden * hidden + hidden
    return 0
