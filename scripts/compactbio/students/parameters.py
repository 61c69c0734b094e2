"""How many parameters models have: of a folder, and about how many before there is one."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compactbio.architectures import architecture_in, planned_architecture
from compactbio.architectures.record import COMMON_SIZES, EMBEDDINGS, HEAD, LAYERS, POOLER
from compactbio.errors import UserError, reading
from compactbio.files import read_json, require_recorded
from compactbio.settings.shapes import shape_of
from compactbio.students.weights import read_shapes, weight_files

UNKNOWN_VOCABULARY = 128_000  # of a tokenizer taken as published, in estimates; that of DeBERTa-v3


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


def count_parameters(folder: Path) -> ParameterCounts:
    """Return the exact counts of a model folder (config.json, *.safetensors), of which no tensor is loaded.

    Raises:
        UserError: it holds no weights, or not those of a supported architecture.
    """
    require_recorded(folder, ("config.json", *(path.name for path in weight_files(folder))))
    sizes = {name: math.prod(shape) for path in weight_files(folder) for name, shape in read_shapes(path).items()}
    configuration = read_json(folder / "config.json", dict[str, Any])
    architecture = architecture_in(configuration, folder / "config.json")
    parts: Counter[str] = Counter()
    for name, size in sizes.items():
        parts[architecture.part_of(name)] += size
    if not parts[LAYERS]:
        raise UserError(f"{folder} holds no encoder layers: its tensors are not those of {architecture.title}")
    with reading(folder / "config.json", "fetch or export the model again"):
        pooler = parts[POOLER] or architecture.pooler(configuration)
    return ParameterCounts(parts[EMBEDDINGS], parts[LAYERS], pooler, parts[HEAD])


def estimated_parameters(config: dict[str, Any], name: str) -> int:
    """Return about how many parameters a checkpoint or model of a configuration has, whether it is there or not.

    Embeddings, and those of the layers' matrices: too many for MobileBERT, whose layers are counted as BERT's.
    """
    definition = {**config["models"], **config["checkpoints"]}[name]
    record = planned_architecture(definition["architecture"])
    shape = {**record.common_names(record.usual), **shape_of(config, name)}
    width, layers = (shape[key] for key in (COMMON_SIZES.width, COMMON_SIZES.depth))
    embeddings = estimated_vocabulary(config, definition["tokenizer"]) + record.position_embeddings(shape)
    return embeddings * width + layers * record.layer_parameters(shape)


def estimated_vocabulary(config: dict[str, Any], tokenizer: str | None) -> int:
    """Return how many tokens a tokenizer has: one of `tokenizers` what is said there, others many."""
    size: int = config["tokenizers"].get(tokenizer, {}).get("vocabulary_size", UNKNOWN_VOCABULARY)
    return size
