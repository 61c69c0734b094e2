"""The optimizer of a training, built from its settings: which parameters it trains, and how."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from compactbio.errors import UserError
from compactbio.training.optimizer_settings import DEFAULT, GROUPS, OPTIMIZER, OPTIMIZERS, GroupRule, OptimizerSettings

FACTOR = "learning_rate_factor"  # key of a parameter group


@dataclass(frozen=True)
class Treatment:
    """What happens to a parameter in a step: by which optimizer, and at what share of the schedule's rate."""

    optimizer: str
    learning_rate_factor: float
    weight_decay: float
    decays: bool
    """Whether it is of those that decay, be it by 0."""

    def decay_without_gradient(self, learning_rate_at: Callable[[int], float]) -> Callable[[int], float] | None:
        """Return what a step multiplies values by that never had a gradient; None if it does more."""
        if not OPTIMIZERS[self.optimizer].only_decays_unseen:
            return None
        return lambda step: 1.0 - learning_rate_at(step) * self.learning_rate_factor * self.weight_decay


def decayed_parameter_names(module: nn.Module, *, norms_decay: bool = False) -> set[str]:
    """Return the names of the parameters that weight decay applies to.

    Biases and every parameter of torch's LayerNorm are left out, as the Trainer of transformers did when the paper was
    made (4.25.1). Normalisations of other classes, which are known by their class's name, are left out too, unless
    `norms_decay`: that Trainer knew no other class, so that the scales of MobileBERT's NoNorm decayed.
    """
    excluded = {
        f"{owner}.{name}" if owner else name
        for owner, layer in module.named_modules()
        for name, _ in layer.named_parameters(recurse=False)
        if name.endswith("bias")
        or isinstance(layer, nn.LayerNorm)
        or (not norms_decay and "norm" in type(layer).__name__.lower())
    }
    return {name for name, _ in module.named_parameters() if name not in excluded}


def treatments(module: nn.Module, settings: OptimizerSettings) -> dict[str, Treatment]:
    """Return how each parameter that takes gradients is trained, by its name.

    Raises:
        UserError: a parameter group or the optimizer has no parameter.
    """
    trainable = {name: value for name, value in module.named_parameters() if value.requires_grad}
    decayed = decayed_parameter_names(module, norms_decay=settings.norms_decay)
    rules = _rules_by_name(list(trainable), settings)
    options = settings.optimizer
    found = {}
    for name, value in trainable.items():
        rule = rules.get(name, GroupRule(name))
        factor, decay = rule.learning_rate_factor, settings.weight_decay
        optimizer = options["name"] if OPTIMIZERS[options["name"]].takes(name, value.ndim) else DEFAULT["name"]
        if optimizer == options["name"]:
            factor *= options.get("learning_rate", settings.learning_rate) / settings.learning_rate
            decay = options.get("weight_decay", decay)
        decay = decay if rule.weight_decay is None else rule.weight_decay
        found[name] = Treatment(optimizer, factor, decay if name in decayed else 0.0, name in decayed)
    if options["name"] not in {treatment.optimizer for treatment in found.values()}:
        raise UserError(f"{settings.place}.{OPTIMIZER}: the model has no parameter for {options['name']}; use adamw")
    return found


def build_optimizer(module: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return the optimizer of a module's parameters that take gradients; the loop sets the learning rates.

    Parameters that decay come first, else their order is the module's own, so that a state saved by one process fits
    another.

    Raises:
        UserError: torch does not have the optimizer, or a parameter group has no parameter.
    """
    planned, parameters = treatments(module, settings), dict(module.named_parameters())
    alike: dict[Treatment, list[nn.Parameter]] = {}
    for name in sorted(planned, key=lambda name: not planned[name].decays):
        alike.setdefault(planned[name], []).append(parameters[name])
    groups: dict[str, list[dict[str, Any]]] = {}
    for treatment, values in alike.items():
        group = {"params": values, "weight_decay": treatment.weight_decay, FACTOR: treatment.learning_rate_factor}
        groups.setdefault(treatment.optimizer, []).append(group)
    parts = [OPTIMIZERS[name].build(groups[name], settings) for name in groups]
    return parts[0] if len(parts) == 1 else SeveralOptimizers(parts)


def set_learning_rates(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give each parameter group its share of the schedule's learning rate."""
    for group in optimizer.param_groups:  # a state that an older version saved has no factors
        group["lr"] = learning_rate * group.get(FACTOR, 1.0)


class SeveralOptimizers(torch.optim.Optimizer):
    """Optimizers of different parameters that take their steps together, for loop and checkpoints like one."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = parts
        self._share()

    def _share(self) -> None:
        """Show the parts' own groups and states, which they replace when they load and add to in a step."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]
        self.state.clear()
        for part in self.parts:
            self.state.update(part.state)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no closure is ever given
        """Take a step of each part."""
        for part in self.parts:
            part.step()
        self._share()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each part, in their order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of each part."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share()


def _rules_by_name(names: Sequence[str], settings: OptimizerSettings) -> dict[str, GroupRule]:
    """Return the first rule whose pattern finds something in a name, for the names that have one."""
    taken: dict[str, GroupRule] = {}
    for number, rule in enumerate(settings.groups):
        found = [name for name in names if name not in taken and re.search(rule.parameters, name)]
        if not found:
            raise UserError(
                f"{settings.place}.{GROUPS}.{number}.parameters: {rule.parameters!r} is in no parameter's name that "
                f"rules above leave; there are {', '.join(names[:3])}, ..."
            )
        taken |= dict.fromkeys(found, rule)
    return taken
