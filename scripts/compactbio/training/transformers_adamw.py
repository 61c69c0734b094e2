"""AdamW as transformers had it until 2023: the optimizer that its Trainer took by default when the paper was made."""

from __future__ import annotations

import math
from typing import Any

import torch


class TransformersAdamW(torch.optim.AdamW):
    """AdamW whose epsilon is added before the bias correction, and whose weights decay after their update.

    With m and v the running means at step t, b1 and b2 their factors (read in transformers 4.25.1, optimization.py):

        w <- w - rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon);    w <- w - rate * decay * w

    which is torch's AdamW with epsilon / sqrt(1 - b2^t) in place of epsilon and the decay moved behind it. The two
    differ where gradients are near epsilon: at the first step 1e-8 acts as 3.2e-7, after 5,000 steps as 1.003e-8.
    """

    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no closure is ever given
        """Update the parameters that have a gradient, then let them decay."""
        kept = [(group["eps"], group["weight_decay"]) for group in self.param_groups]
        updated = [[value for value in group["params"] if value.grad is not None] for group in self.param_groups]
        for group, values in zip(self.param_groups, updated, strict=True):
            done = float(self.state[values[0]]["step"]) if values and values[0] in self.state else 0.0
            group["eps"] /= math.sqrt(1.0 - group["betas"][1] ** (done + 1.0))
            group["weight_decay"] = 0.0
        super().step()
        for group, values, (epsilon, decay) in zip(self.param_groups, updated, kept, strict=True):
            group["eps"], group["weight_decay"] = epsilon, decay
            if values and decay > 0.0:
                with torch.no_grad():
                    torch._foreach_mul_(values, 1.0 - group["lr"] * decay)
