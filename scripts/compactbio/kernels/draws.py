"""What dropout draws in kernels: a function of a seed and of a value's place, so that nothing of it is kept.

The seed is a number on the device that torch's generator draws: a function of (seed, step, process, order of the
micro-batches) as all dropout is, and in a captured graph a new one at each replay.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 2**24  # of the bits that dropout compares


def draw_seed(device: torch.device) -> Tensor:
    """Return a seed (1,) of the device's generator, for one dropout in one micro-batch."""
    return torch.randint(2**62, (1,), device=device)


def threshold(probability: float) -> tuple[int, float]:
    """Return below which of LEVELS a value is dropped, and what is kept multiplied with."""
    dropped = round(probability * LEVELS)
    return dropped, LEVELS / max(LEVELS - dropped, 1)
