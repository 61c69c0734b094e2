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

    taken: list[float] | None = None  # steps of each group's parameters, counted here: a GPU is not waited for

    def load_state_dict(self, state_dict: Any) -> None:
        """Take up a saved state, and its steps."""
        super().load_state_dict(state_dict)
        self.taken = None

    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no closure is ever given
        """Update the parameters that have a gradient, then let them decay; neither where a loss scale was too large."""
        kept = [(group["eps"], group["weight_decay"]) for group in self.param_groups]
        updated = [[value for value in group["params"] if value.grad is not None] for group in self.param_groups]
        overflown = getattr(self, "found_inf", None)  # by a GradScaler, which leaves it to fused steps to do nothing
        if self.taken is None or overflown is not None:
            self.taken = [self._steps_of(values) for values in updated]
        for group, done in zip(self.param_groups, self.taken, strict=True):
            group["eps"] /= math.sqrt(1.0 - group["betas"][1] ** (done + 1.0))
            group["weight_decay"] = 0.0
        super().step()
        self.taken = [done + bool(values) for done, values in zip(self.taken, updated, strict=True)]
        for group, values, (epsilon, decay) in zip(self.param_groups, updated, kept, strict=True):
            group["eps"], group["weight_decay"] = epsilon, decay
            if values and decay > 0.0:
                share = group["lr"] * decay
                with torch.no_grad():
                    torch._foreach_mul_(values, 1.0 - (share if overflown is None else share * (1.0 - overflown)))

    def _steps_of(self, values: list[torch.Tensor]) -> float:
        """Return how many steps parameters have taken, which a GPU is waited for."""
        return float(self.state[values[0]]["step"]) if values and values[0] in self.state else 0.0
