"""Shapes of models: what a configuration says of them, and students' that cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from compactbio.architectures import ARCHITECTURES, planned_architecture
from compactbio.architectures.record import COMMON_SIZES, Architecture
from compactbio.errors import UserError
from compactbio.files import read_json
from compactbio.settings.selection import definition_of, source_of, student_parts
from compactbio.terms.term import Shape


def shape_of(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what the configuration says of a checkpoint's or model's shape, as keys of transformers.

    Sizes stand under the names that all architectures answer to. Where nothing is said the shape is empty: what is
    not yet downloaded cannot be asked.
    """
    definition = source_of(config, name)
    if definition is None:
        return {}
    record = planned_architecture(definition["architecture"])
    if definition["source"] != "train":
        return record.common_names(definition.get("shape") or _shape_in_folder(definition, record))
    student = student_parts(definition)
    if "shape" in student:
        return record.common_names({**record.usual, **student["shape"]})
    if "checkpoint" in student:
        return shape_of(config, student["checkpoint"])
    teacher = definition.get("teacher")
    above = {} if teacher is None else shape_of(config, teacher)
    return {**above, COMMON_SIZES.depth: len(student.get("teacher_layers", []))}


def _shape_in_folder(definition: dict[str, Any], record: Architecture) -> dict[str, Any]:
    """Return the shape that config.json of a checkpoint's own folder says; empty where there is none to read."""
    path = Path(definition.get("path") or "") / "config.json"
    if definition["source"] != "path" or not path.is_file():
        return {}
    with suppress(UserError):  # fetch_checkpoint refuses it with its reason
        content = read_json(path)
        if isinstance(content, dict):
            return {key: value for key, value in content.items() if key in record.shape and isinstance(value, int)}
    return {}


def sizes_of(config: dict[str, Any], name: str) -> Shape | None:
    """Return the sizes of a checkpoint or model.

    None where the configuration does not say them: the programs check again when the weights are there.
    """
    definition, shape = source_of(config, name), shape_of(config, name)
    keys = (COMMON_SIZES.depth, COMMON_SIZES.width, COMMON_SIZES.heads)
    if definition is None or not set(keys) <= set(shape):
        return None
    record = planned_architecture(definition["architecture"])
    attention = record.attention_width(shape, COMMON_SIZES)
    layers, width, heads = (shape[key] for key in keys)
    return Shape(layers, width, heads, shape.get(attention, record.usual.get(attention, 0)))


def positions_of(config: dict[str, Any], name: str) -> int:
    """Return how long a sequence of a checkpoint or model may be; where its shape is silent, what is usual at most."""
    record, shape = planned_architecture(definition_of(config, name)["architecture"]), shape_of(config, name)
    given, key = shape.get(COMMON_SIZES.positions), record.sizes.positions
    return record.usual[key] if given is None else record.positions({**shape, key: given})


def shape_faults(place: str, architecture: str, shape: dict[str, Any], max_length: int = 1) -> Iterator[str]:
    """Yield the faults of a shape, each naming its key and the fix; types and ranges are the schema's.

    Args:
        place, shape: its key in the configuration, and transformers' configuration keys.
        architecture: its name.
        max_length: word pieces of the longest sequence.
    """
    record = ARCHITECTURES[architecture]
    for key in shape:
        if key not in record.shape:
            yield f"{place}: unknown key `{key}` for {architecture}; known: {', '.join(record.shape)}"
    depth = shape.get(record.sizes.depth, record.usual[record.sizes.depth])
    for key, value in shape.items():
        if isinstance(value, list) and len(value) != depth:  # what each layer has
            yield f"{place}.{key}: {len(value)} values for {record.sizes.depth} = {depth}; give one for each layer"
    (width_key, width), (heads_key, heads) = record.attention_sizes(shape)
    if width % heads:
        yield f"{place}.{width_key}: {width} cannot be split over {heads_key} = {heads}; use a multiple of {heads}"
    longest, key = record.positions(shape), record.sizes.positions
    if longest < max_length:
        given = shape.get(key, record.usual[key])
        enough = given + max_length - longest
        yield f"{place}.{key}: {given} is below what corpus.max_length = {max_length} needs; raise it to {enough}"
