"""Triton program of `activated`: what an activation's gradient leaves for the product of matrices before it.

A program has BLOCK columns of `rows` rows of `width` values, contiguous, TILE rows at a time. What they give the bias
is summed up in it, in their order, and over programs by torch: nothing is left to the order in which programs end.
"""

from __future__ import annotations

import triton
import triton.language as tl

RELU, GELU = tl.constexpr(0), tl.constexpr(1)
ROOT = tl.constexpr(0.7071067811865476)  # of 1/2
DENSITY = tl.constexpr(0.3989422804014327)  # 1 / sqrt(2 pi): the normal distribution's at 0


@triton.jit(do_not_specialize=["rows"])  # see `maps`
def backward(
    TO_ACTIVATED, KEPT, TO_PRODUCT, TO_BIAS, rows, width,
    BLOCK: tl.constexpr, TILE: tl.constexpr, TILES: tl.constexpr, FORMULA: tl.constexpr,
):  # fmt: skip
    """Write TO_PRODUCT (rows, width), and sums of it, TO_BIAS (programs, width), for TILES x TILE rows.

    KEPT is the output of RELU, and what GELU (by the normal distribution's integral, not approximated) is of.
    """
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    sums = tl.zeros((TILE, BLOCK), tl.float32)
    for number in range(TILES):
        row = (tl.program_id(0) * TILES + number) * TILE + tl.arange(0, TILE)
        inside = (row < rows)[:, None] & (column < width)[None, :]
        places = row.to(tl.int64)[:, None] * width + column[None, :]
        gradient = tl.load(TO_ACTIVATED + places, mask=inside, other=0.0).to(tl.float32)
        kept = tl.load(KEPT + places, mask=inside, other=0.0).to(tl.float32)
        if FORMULA == RELU:
            gradient = tl.where(kept <= 0.0, 0.0, gradient)
        else:
            gradient *= 0.5 + 0.5 * tl.erf(kept * ROOT) + kept * DENSITY * tl.exp(-0.5 * kept * kept)
        tl.store(TO_PRODUCT + places, gradient.to(TO_PRODUCT.dtype.element_ty), mask=inside)
        sums += gradient
    place = tl.program_id(0).to(tl.int64) * width + column
    tl.store(TO_BIAS + place, tl.sum(sums, 0), mask=column < width)
