"""Sizes that programs in Triton are compiled for."""

from __future__ import annotations

import math

SMALLEST = 16  # of a block: Triton's products of matrices take no smaller one
WIDEST_STEP = 16  # values: 16 bytes or more of any type, the widest load


def power_of_two(size: int) -> int:
    """Return the power of two, at least `SMALLEST`, that holds a size."""
    return max(SMALLEST, 1 << (size - 1).bit_length())


def in_steps(*strides: int) -> tuple[tuple[int, ...], int]:
    """Return strides in steps, and the step: the largest power of two, at most `WIDEST_STEP`, that divides them all.

    With a step that it knows, the compiler reads that many values at once.
    """
    step = math.gcd(WIDEST_STEP, *strides)
    return tuple(stride // step for stride in strides), step
