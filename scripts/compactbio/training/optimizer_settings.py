"""The optimizers that a configuration may choose, and what it says of them. torch is imported where one is built."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from compactbio.errors import UserError

if TYPE_CHECKING:
    import torch

DEFAULT = {"name": "adamw"}
OPTIMIZER, GROUPS = "optimizer", "parameter_groups"  # keys of a configuration
LAYER = re.compile(r"(^|\.)layers?\.\d+\.")  # what the name of a parameter of an encoder's layer has in it


@dataclass(frozen=True)
class GroupRule:
    """What a configuration says of the parameters whose name a regular expression finds something in."""

    parameters: str
    learning_rate_factor: float = 1.0
    weight_decay: float | None = None
    """None: as without the rule. Biases and LayerNorms never decay."""


@dataclass(frozen=True)
class OptimizerSettings:
    """The optimizer of a training; the learning rate is the schedule's highest."""

    weight_decay: float
    learning_rate: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    optimizer: Mapping[str, Any] = field(default_factory=lambda: dict(DEFAULT))
    groups: Sequence[GroupRule] = ()
    norms_decay: bool = False
    """Whether the scales of normalisations decay that are of another class than torch's LayerNorm."""
    place: str = "optimisation"
    """Where these keys stand in the configuration, for messages."""


@dataclass(frozen=True)
class OptimizerKind:
    """An optimizer that a configuration may name."""

    build: Callable[[list[dict[str, Any]], OptimizerSettings], torch.optim.Optimizer]
    """Makes it of parameter groups, which have their weight decay; the loop sets their learning rates."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Its keys in the configuration as JSON Schema; learning_rate and weight_decay replace the common ones."""
    takes: Callable[[str, int], bool] = lambda name, dimensions: True
    """Whether it trains a parameter, by name and number of dimensions; AdamW trains the rest."""
    only_decays_unseen: bool = False
    """Whether a step does nothing but weight decay to values that never had a gradient."""


def _adamw(groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return a fused AdamW."""
    import torch

    return torch.optim.AdamW(groups, lr=0.0, betas=settings.betas, eps=settings.epsilon, fused=True)


def _transformers_adamw(groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return AdamW as transformers had it until 2023, its Trainer's default when the reference code ran."""
    from compactbio.training.transformers_adamw import TransformersAdamW

    return TransformersAdamW(groups, lr=0.0, betas=settings.betas, eps=settings.epsilon, fused=True)


def _muon(groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return Muon (Jordan et al. 2024), its updates scaled so that AdamW's learning rates fit it (Liu et al. 2025)."""
    import torch

    muon = getattr(torch.optim, "Muon", None)
    if muon is None:
        raise UserError(f"{settings.place}.{OPTIMIZER}: torch {torch.__version__} has no Muon, 2.9 does; or use adamw")
    options = settings.optimizer
    adjustment = options.get("adjustment", "match_rms_adamw")
    return muon(groups, lr=0.0, momentum=options.get("momentum", 0.95), adjust_lr_fn=adjustment)


OPTIMIZERS = {
    "adamw": OptimizerKind(_adamw, only_decays_unseen=True),
    "transformers_adamw": OptimizerKind(_transformers_adamw, only_decays_unseen=True),
    "muon": OptimizerKind(
        _muon,
        options={
            "learning_rate": {
                "description": "Of the matrices; the common one where it is left out.",
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 1,
            },
            "weight_decay": {
                "description": "Of the matrices; the common one where it is left out.",
                "type": "number",
                "minimum": 0,
                "maximum": 1,
            },
            "momentum": {
                "description": "Of the matrices' gradients; 0.95 where it is left out.",
                "type": "number",
                "minimum": 0,
                "exclusiveMaximum": 1,
            },
            "adjustment": {
                "description": "How updates are scaled: so that AdamW's learning rates fit, or as first published.",
                "enum": ["match_rms_adamw", "original"],
            },
        },
        takes=lambda name, dimensions: dimensions == 2 and LAYER.search(name) is not None,
    ),
}


def optimizer_settings(
    options: Mapping[str, Any], *, learning_rate: float, place: str, quirks: Mapping[str, str] | None = None
) -> OptimizerSettings:
    """Return the optimizer that a run's options say under its quirks; what they leave out is as torch has it."""
    settings = OptimizerSettings(
        options["weight_decay"],
        learning_rate,
        optimizer=options.get(OPTIMIZER, DEFAULT),
        groups=tuple(GroupRule(**rule) for rule in options.get(GROUPS, ())),
        norms_decay=(quirks or {}).get("decayed_norms") == "reference",
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
    name = {"name": {"description": "Which one.", "enum": list(OPTIMIZERS)}}
    chosen = [
        {
            "if": {"required": ["name"], "properties": {"name": {"const": optimizer}}},
            "then": {"additionalProperties": False, "properties": {**name, **kind.options}},
        }
        for optimizer, kind in OPTIMIZERS.items()
    ]
    return {"type": ["object", "null"], "required": ["name"], "properties": name, "allOf": chosen}


def optimizer_faults(place: str, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield patterns of parameter groups that are no regular expressions."""
    for number, rule in enumerate(options.get(GROUPS) or ()):
        try:
            re.compile(rule["parameters"])
        except re.error as error:
            yield f"{place}.{GROUPS}.{number}.parameters: {rule['parameters']!r} is no regular expression ({error})"
