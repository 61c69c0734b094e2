"""Which optimizer trains which parameters, as a configuration says it. Nothing here imports torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

RATE = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
DECAY = {"type": "number", "minimum": 0, "maximum": 1}

# by name: the options of an optimizer beside the keys that all have, as JSON Schema
OPTIMIZERS: dict[str, dict[str, dict[str, Any]]] = {
    "adamw": {},
    "muon": {
        "learning_rate": RATE,
        "weight_decay": DECAY,
        "momentum": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        "adjustment": {"enum": ["match_rms_adamw", "original"]},
    },
}
DEFAULT = {"name": "adamw"}
OPTIMIZER, GROUPS = "optimizer", "parameter_groups"  # keys of a configuration


@dataclass(frozen=True)
class GroupRule:
    """What a configuration says of the parameters whose name a regular expression finds something in."""

    parameters: str
    learning_rate_factor: float = 1.0
    weight_decay: float | None = None
    """None: as without the rule. Biases and normalisations never decay."""


@dataclass(frozen=True)
class OptimizerSettings:
    """The optimizer of a training; the learning rate is the schedule's highest."""

    weight_decay: float
    learning_rate: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    optimizer: Mapping[str, Any] = field(default_factory=lambda: dict(DEFAULT))
    groups: Sequence[GroupRule] = ()
    place: str = "optimisation"
    """Where these keys stand in the configuration, for messages."""


def optimizer_settings(options: Mapping[str, Any], *, learning_rate: float, place: str) -> OptimizerSettings:
    """Return the optimizer that a run's options say; what they leave out is as torch has it."""
    settings = OptimizerSettings(
        options["weight_decay"],
        learning_rate,
        optimizer=options.get(OPTIMIZER, DEFAULT),
        groups=tuple(GroupRule(**rule) for rule in options.get(GROUPS, ())),
        place=place,
    )
    if "adam_betas" not in options:
        return settings
    first, second = options["adam_betas"]
    return replace(settings, betas=(first, second), epsilon=options["adam_epsilon"])


def without_default_optimizer(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's options without what says no more than the default: finished results keep their fingerprint."""
    defaults = {OPTIMIZER: (None, DEFAULT), GROUPS: (None, [])}
    return {key: value for key, value in options.items() if value not in defaults.get(key, ())}


def optimizer_schema() -> dict[str, Any]:
    """Return what a configuration may say of its optimizer, as JSON Schema."""
    name = {"name": {"enum": list(OPTIMIZERS)}}
    chosen = [
        {
            "if": {"required": ["name"], "properties": {"name": {"const": optimizer}}},
            "then": {"additionalProperties": False, "properties": {**name, **options}},
        }
        for optimizer, options in OPTIMIZERS.items()
    ]
    return {"type": ["object", "null"], "required": ["name"], "properties": name, "allOf": chosen}


def optimizer_faults(place: str, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield patterns of parameter groups that are no regular expressions."""
    for number, rule in enumerate(options.get(GROUPS) or ()):
        try:
            re.compile(rule["parameters"])
        except re.error as error:
            yield f"{place}.{GROUPS}.{number}.parameters: {rule['parameters']!r} is no regular expression ({error})"
