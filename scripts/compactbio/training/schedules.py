"""Learning rates as pure functions of the step, so that a resumed run needs no schedule state."""

from __future__ import annotations

import math
from collections.abc import Callable

from compactbio.errors import UserError

# by name: the share of the peak after a share of the steps that follow the warm-up
SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda progress: max(0.0, 1.0 - progress),
    "cosine": lambda progress: max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress))),
    "constant": lambda progress: 1.0,
}


def learning_rate_schedule(name: str, *, peak: float, warmup_steps: int, total_steps: int) -> Callable[[int], float]:
    """Return the function from a step (counted from 1) to the learning rate of its update.

    As in the Trainer of transformers, the first update of a warm-up runs at 0 and the update of step s
    sees s - 1 finished steps. After the warm-up: `linear` falls to zero on a line, `cosine` on half a
    cosine, `constant` stays.

    Raises:
        UserError: the name is unknown or the warm-up is longer than the run.
    """
    if name not in SCHEDULES:
        raise UserError(f"optimisation.schedule: {name!r} is unknown; use one of {', '.join(SCHEDULES)}")
    if warmup_steps > total_steps:
        raise UserError(
            f"optimisation.warmup_steps ({warmup_steps}) is more than the {total_steps} steps of the run: "
            "lower it or raise steps"
        )

    def learning_rate_at(step: int) -> float:
        done = step - 1
        if done < warmup_steps:
            return peak * done / warmup_steps
        progress = (done - warmup_steps) / max(1, total_steps - warmup_steps)
        return peak * SCHEDULES[name](progress)

    return learning_rate_at
