"""Triton programs of `residual_norm`: a block's output, dropped out and added to what went around it, then normalised.

A program holds whole rows: at most 1,024 values, as wide as hidden states are here, fit on the chip. Sizes: n rows
(tokens) of WIDTH values, contiguous. Nothing is left to the order in which programs end: what rows give weight and
biases is summed up within a program, in their order, and over programs by torch.
"""

from __future__ import annotations

import triton
import triton.language as tl

from compactbio.kernels.programs.draws import factors as drawn_factors

ANY = ["rows", "threshold"]  # numbers of which the compiler has nothing to know: see `maps`


@triton.jit
def _tile(pointer, places, inside):
    """Return values in fp32, zeros outside."""
    return tl.load(pointer + places, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _store(pointer, places, values, inside):
    """Write values as the type that is pointed to."""
    tl.store(pointer + places, values.to(pointer.dtype.element_ty), mask=inside)


@triton.jit
def _normalised(sums, inside, epsilon, WIDTH: tl.constexpr):
    """Return rows without their mean, divided by their deviation, and what divided them."""
    centred = tl.where(inside, sums - tl.sum(sums, 1)[:, None] / WIDTH, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / WIDTH + epsilon)
    return centred * scale[:, None], scale


@triton.jit(do_not_specialize=ANY)
def forward(
    X, RESIDUAL, W, B, OUTPUT, HALF, SUMS, SEED, rows, epsilon, threshold, kept,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr, ADDS: tl.constexpr, DROPS: tl.constexpr,
    DROPS_LATE: tl.constexpr, NORMALISES: tl.constexpr, HALVES: tl.constexpr, KEEPS: tl.constexpr,
):  # fmt: skip
    """Write OUTPUT (n, WIDTH), HALF, the same in half precision, and SUMS, what was normalised, for TILE rows.

    Dropout is of X where DROPS, of the output where DROPS_LATE.
    """
    row, column = tl.program_id(0) * TILE + tl.arange(0, TILE), tl.arange(0, BLOCK)
    inside = (row < rows)[:, None] & (column < WIDTH)[None, :]
    places = row.to(tl.int64)[:, None] * WIDTH + column[None, :]
    sums = _tile(X, places, inside)
    if DROPS:
        sums *= drawn_factors(SEED, row, column, threshold, kept)
    if ADDS:
        sums += _tile(RESIDUAL, places, inside)
    if KEEPS:
        _store(SUMS, places, sums, inside)
    if NORMALISES:
        sums, _ = _normalised(sums, inside, epsilon, WIDTH)
    weight, bias = _tile(W, column, column < WIDTH), _tile(B, column, column < WIDTH)
    output = sums * weight[None, :] + bias[None, :]
    if DROPS_LATE:
        output *= drawn_factors(SEED, row, column, threshold, kept)
    _store(OUTPUT, places, output, inside)
    if HALVES:
        _store(HALF, places, output, inside)


@triton.jit(do_not_specialize=ANY)
def backward(
    TO_OUTPUT, TO_HALF, SUMS, W, TO_X, TO_RESIDUAL, TO_W, TO_B, TO_X_BIAS, SEED, rows, epsilon, threshold, kept,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr, TILES: tl.constexpr, ADDS: tl.constexpr,
    DROPS: tl.constexpr, DROPS_LATE: tl.constexpr, NORMALISES: tl.constexpr, WHOLE: tl.constexpr, HALVES: tl.constexpr,
):  # fmt: skip
    """Write TO_X and TO_RESIDUAL (n, WIDTH), TO_W, TO_B and TO_X_BIAS (programs, WIDTH), for TILES x TILE rows.

    TO_OUTPUT is the output's gradient where WHOLE, TO_HALF its copy's where HALVES; TO_X_BIAS are sums of TO_X.
    """
    column = tl.arange(0, BLOCK)
    weight = _tile(W, column, column < WIDTH)
    to_weight, to_bias = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    to_x_bias = tl.zeros((BLOCK,), tl.float32)
    for number in range(TILES):
        row = (tl.program_id(0) * TILES + number) * TILE + tl.arange(0, TILE)
        inside = (row < rows)[:, None] & (column < WIDTH)[None, :]
        places = row.to(tl.int64)[:, None] * WIDTH + column[None, :]
        gradient = tl.zeros((TILE, BLOCK), tl.float32)
        if WHOLE:
            gradient += _tile(TO_OUTPUT, places, inside)
        if HALVES:
            gradient += _tile(TO_HALF, places, inside)
        if DROPS_LATE:
            gradient *= drawn_factors(SEED, row, column, threshold, kept)
        normed = _tile(SUMS, places, inside)
        to_sums = gradient * weight[None, :]
        if NORMALISES:
            normed, scale = _normalised(normed, inside, epsilon, WIDTH)
            along = tl.sum(to_sums * normed, 1)[:, None] / WIDTH
            to_sums = (to_sums - tl.sum(to_sums, 1)[:, None] / WIDTH - normed * along) * scale[:, None]
        to_weight += tl.sum(gradient * normed, 0)
        to_bias += tl.sum(gradient, 0)
        if ADDS:
            _store(TO_RESIDUAL, places, to_sums, inside)
        if DROPS:
            to_sums *= drawn_factors(SEED, row, column, threshold, kept)
        to_x_bias += tl.sum(to_sums, 0)
        _store(TO_X, places, to_sums, inside)
    place = tl.program_id(0).to(tl.int64) * WIDTH + column
    tl.store(TO_W + place, to_weight, mask=column < WIDTH)
    tl.store(TO_B + place, to_bias, mask=column < WIDTH)
    tl.store(TO_X_BIAS + place, to_x_bias, mask=column < WIDTH)
