"""How large the models of a configuration are, as far as it says: what is not yet downloaded cannot be asked."""

from __future__ import annotations

from typing import Any

from compactbio.settings.runs import source_of, student_kind

POSITIONS = 512


def shape_of(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what the configuration says of a model's or checkpoint's shape; the rest is as its architecture has it."""
    definition = source_of(config, name)
    if definition["source"] != "train":
        return definition.get("shape") or {}
    kind, value = student_kind(definition)
    if kind == "shape":
        return value
    if kind == "checkpoint":
        return shape_of(config, value)
    return {**shape_of(config, definition["teacher"]), "num_hidden_layers": len(value)}


def parameters(config: dict[str, Any], name: str) -> int:
    """Return about how many parameters a model has: embeddings, and 12 width^2 in each layer as in BERT."""
    shape = shape_of(config, name)
    width = shape.get("hidden_size", shape.get("dim", 768))
    layers = shape.get("num_hidden_layers", shape.get("n_layers", 12))
    vocabulary = config["tokenizers"][source_of(config, name)["tokenizer"]]["vocabulary_size"]
    return (vocabulary + POSITIONS) * width + 12 * layers * width**2
