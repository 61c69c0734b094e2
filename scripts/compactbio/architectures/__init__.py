"""The supported encoder architectures: one file each, in which all stands that is particular to it.

A further architecture is a further file with an `ARCHITECTURE`. None of them imports torch or transformers before one
of its functions needs it, so that settings may ask.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from compactbio.architectures.record import Architecture
from compactbio.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["ARCHITECTURES", "Architecture", "architecture_named", "architecture_of", "longest_sequence"]

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


def architecture_of(model: PreTrainedModel) -> Architecture:
    """Return the architecture of a model.

    Raises:
        UserError: it is not supported.
    """
    return architecture_named(model.config.model_type)


def longest_sequence(configuration: Mapping[str, Any]) -> int:
    """Return how many tokens a model takes at most, by the content of its config.json.

    Raises:
        UserError: its architecture is not supported.
    """
    return architecture_named(configuration["model_type"]).positions(configuration)
