"""AdamW with the parameter groups that BERT-like models are trained with."""

from __future__ import annotations

import torch
from torch import nn


def decayed_parameter_names(module: nn.Module) -> set[str]:
    """Return the names of the parameters that weight decay applies to.

    Biases and every parameter of a normalisation layer are left out, as the Trainer of transformers does.
    MobileBERT's NoNorm layers are named LayerNorm too but are not of that class, hence the name is looked at as well.
    """
    excluded = {
        f"{owner}.{name}" if owner else name
        for owner, layer in module.named_modules()
        for name, _ in layer.named_parameters(recurse=False)
        if name.endswith("bias") or "norm" in type(layer).__name__.lower()
    }
    return {name for name, _ in module.named_parameters() if name not in excluded}


def adamw(
    module: nn.Module,
    *,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
) -> torch.optim.AdamW:
    """Return a fused AdamW over the parameters that take gradients; the loop sets the learning rate.

    The order of the parameters is the module's own, so that a state saved by one process fits another.
    """
    decayed = decayed_parameter_names(module)
    trainable = [(name, value) for name, value in module.named_parameters() if value.requires_grad]
    groups = [
        {"params": [value for name, value in trainable if name in decayed], "weight_decay": weight_decay},
        {"params": [value for name, value in trainable if name not in decayed], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=0.0, betas=tuple(betas), eps=epsilon, fused=True)
