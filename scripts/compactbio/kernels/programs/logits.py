"""Triton programs of `logits`: a term's value of each row, and the gradient of the student's logits.

A program has one row, which it reads block by block. It keeps the highest value so far, and sums of powers below that,
which a higher one makes smaller (online softmax: Milakov and Gimelshein 2018). Logits are read in their type, all else
is fp32. They are multiplied by log2(e) / temperature when they are read: powers and logarithms have base 2, for which
a GPU has instructions. Each row's value is written: no sum is left to the order in which programs end.

Sizes: m rows, V columns, the last dimension contiguous. A row begins a multiple of STUDENT_STEP values (TEACHER_STEP,
GRADIENT_STEP) behind the first, a power of two that the compiler knows: else it would read each value by itself.
"""

from __future__ import annotations

import triton
import triton.language as tl

NOTHING = tl.constexpr(-1e30)  # the logit of what is no column: its power is 0
NO_LABEL = tl.constexpr(-100)  # of a row that does not count
LABELS, KL, CROSS_ENTROPY = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)


@triton.jit
def _start(pointer, row, steps, STEP: tl.constexpr):
    """Return where a row begins, `steps` times STEP values behind the one before."""
    return pointer + row * steps * STEP


@triton.jit
def _scaled(start, column, scale, V: tl.constexpr):
    """Return a block of a row's logits times scale, NOTHING behind the last one."""
    inside = column < V
    logits = tl.load(start + column, mask=inside, other=0.0).to(tl.float32)
    return tl.where(inside, logits * scale, NOTHING)


@triton.jit
def _counts(LABEL, REAL, row, FORMULA: tl.constexpr, FILL: tl.constexpr):
    """Return whether a row counts."""
    if FORMULA == LABELS:
        return tl.load(LABEL + row) != NO_LABEL
    elif FILL:
        return tl.load(REAL + row) != 0
    else:
        return row >= 0


@triton.jit
def row_values(
    STUDENT, TEACHER, LABEL, REAL, VALUES, LOGS, LOGS_T, student_steps, teacher_steps, scale, factor,
    V: tl.constexpr, BLOCK: tl.constexpr, STUDENT_STEP: tl.constexpr, TEACHER_STEP: tl.constexpr,
    FORMULA: tl.constexpr, FILL: tl.constexpr,
):  # fmt: skip
    """Write a row's value times factor, VALUES (m,), and logarithms of sums, LOGS and LOGS_T (m,)."""
    row = tl.program_id(0).to(tl.int64)
    value = 0.0
    if _counts(LABEL, REAL, row, FORMULA, FILL):
        student = _start(STUDENT, row, student_steps, STUDENT_STEP)
        highest, total = tl.full((), NOTHING, tl.float32), 0.0
        highest_t, total_t, product = tl.full((), NOTHING, tl.float32), 0.0, 0.0
        for first in range(0, V, BLOCK):
            column = first + tl.arange(0, BLOCK)
            ours = _scaled(student, column, scale, V)
            higher = tl.maximum(highest, tl.max(ours, 0))
            total = total * tl.exp2(highest - higher) + tl.sum(tl.exp2(ours - higher), 0)
            highest = higher
            if FORMULA != LABELS:
                theirs = _scaled(_start(TEACHER, row, teacher_steps, TEACHER_STEP), column, scale, V)
                higher = tl.maximum(highest_t, tl.max(theirs, 0))
                shrink, powers = tl.exp2(highest_t - higher), tl.exp2(theirs - higher)
                difference = theirs - ours if FORMULA == KL else -ours
                total_t = total_t * shrink + tl.sum(powers, 0)
                product = product * shrink + tl.sum(powers * difference, 0)
                highest_t = higher
        logs = highest + tl.log2(total)
        tl.store(LOGS + row, logs)
        if FORMULA == LABELS:
            label = tl.load(LABEL + row)
            # a label that is no column makes the loss no number
            chosen = tl.load(student + label, mask=(label >= 0) & (label < V), other=float("nan"))
            value = (logs - chosen.to(tl.float32) * scale) * factor
        else:
            logs_t = highest_t + tl.log2(total_t)
            tl.store(LOGS_T + row, logs_t)
            # where the models agree, a difference of two logarithms would be all rounding
            rest = highest - highest_t + tl.log2(total / total_t) if FORMULA == KL else logs
            value = (product / total_t + rest) * factor
    tl.store(VALUES + row, value)


@triton.jit
def row_gradients(
    STUDENT, TEACHER, LABEL, REAL, WEIGHT, TO_STUDENT, LOGS, LOGS_T, student_steps, teacher_steps, gradient_steps,
    scale, factor,
    V: tl.constexpr, BLOCK: tl.constexpr, STUDENT_STEP: tl.constexpr, TEACHER_STEP: tl.constexpr,
    GRADIENT_STEP: tl.constexpr, FORMULA: tl.constexpr, FILL: tl.constexpr,
):  # fmt: skip
    """Write what WEIGHT (1,), the gradient of the values' sum, gives the student's logits, TO_STUDENT (m, V)."""
    row = tl.program_id(0).to(tl.int64)
    gradients = _start(TO_STUDENT, row, gradient_steps, GRADIENT_STEP)
    if _counts(LABEL, REAL, row, FORMULA, FILL):
        student = _start(STUDENT, row, student_steps, STUDENT_STEP)
        weight, logs = tl.load(WEIGHT) * factor, tl.load(LOGS + row)
        for first in range(0, V, BLOCK):
            column = first + tl.arange(0, BLOCK)
            ours = tl.exp2(_scaled(student, column, scale, V) - logs)
            if FORMULA == LABELS:
                target = tl.where(column == tl.load(LABEL + row), 1.0, 0.0)
            else:
                theirs = _scaled(_start(TEACHER, row, teacher_steps, TEACHER_STEP), column, scale, V)
                target = tl.exp2(theirs - tl.load(LOGS_T + row))
            gradient = weight * (ours - target)
            tl.store(gradients + column, gradient.to(TO_STUDENT.dtype.element_ty), mask=column < V)
    else:
        for first in range(0, V, BLOCK):
            column = first + tl.arange(0, BLOCK)
            tl.store(gradients + column, tl.zeros((BLOCK,), TO_STUDENT.dtype.element_ty), mask=column < V)
