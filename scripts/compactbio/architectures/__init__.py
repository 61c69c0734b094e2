"""The supported encoder architectures: one file each, in which all stands that is particular to it.

A further architecture is a further file with an `ARCHITECTURE`; one without a file is evaluated only (any_encoder.py).
None of them imports torch or transformers before one of its functions needs it, so that settings may ask.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from compactbio.architectures.any_encoder import AUTO, PLANNED, any_encoder
from compactbio.architectures.record import Architecture
from compactbio.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = [
    "ARCHITECTURES",
    "AUTO",
    "Architecture",
    "architecture_in",
    "architecture_named",
    "architecture_of",
    "beyond_fp16",
    "longest_sequence",
    "planned_architecture",
]

_modules = [import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
_records: list[Architecture] = [module.ARCHITECTURE for module in _modules if hasattr(module, "ARCHITECTURE")]
ARCHITECTURES = {record.name: record for record in _records}


def architecture_named(name: str) -> Architecture:
    """Return the architecture of a name in the configuration, or of `model_type` in a config.json.

    Raises:
        UserError: it is not supported.
    """
    if name not in ARCHITECTURES:
        raise UserError(f"architecture {name!r} is not supported: choose {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def planned_architecture(name: str) -> Architecture:
    """Return the architecture of a name in the configuration, where `auto` stands for one not known before it is there.

    Raises:
        UserError: it is not supported.
    """
    return PLANNED if name == AUTO else architecture_named(name)


def architecture_in(configuration: Mapping[str, Any], where: object = "config.json") -> Architecture:
    """Return the architecture that the content of a config.json is of, whether or not it has a file here.

    Raises:
        UserError: it is no encoder that transformers has; the file, `where`, is named.
    """
    try:
        return ARCHITECTURES.get(configuration.get("model_type", "")) or any_encoder(configuration)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def architecture_of(model: PreTrainedModel) -> Architecture:
    """Return the architecture of a model, whether or not it has a file here."""
    name = model.config.model_type
    return ARCHITECTURES[name] if name in ARCHITECTURES else any_encoder(model.config.to_dict())


def beyond_fp16(*configurations: Mapping[str, Any]) -> list[str]:
    """Return the titles of those architectures whose activations fp16 does not hold, by models' config.json."""
    return [one.title for one in map(architecture_in, configurations) if not one.fits_fp16]


def longest_sequence(configuration: Mapping[str, Any], where: object = "config.json") -> int:
    """Return how many tokens a model takes at most, by the content of its config.json.

    Raises:
        UserError: it is no encoder that transformers has; the file, `where`, is named.
    """
    return architecture_in(configuration, where).positions(configuration)
