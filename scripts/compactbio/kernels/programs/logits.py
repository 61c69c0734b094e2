"""Triton programs of `logits`: a term's value of each row, and the gradient of the student's logits.

A program has one row, which it reads block by block. It keeps the highest value so far, and sums of powers below that,
which a higher one makes smaller (online softmax: Milakov and Gimelshein 2018). Logits are read in their type, all else
is fp32. What lies between two logits is multiplied by log2(e) / temperature: powers and logarithms have base 2, for
which a GPU has instructions, and an offset that a row's logits share costs no digits. Each row's value is written: no
sum is left to the order in which programs end.

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
def _block(start, column, V: tl.constexpr):
    """Return a block of a row's logits, NOTHING behind the last one."""
    inside = column < V
    return tl.where(inside, tl.load(start + column, mask=inside, other=0.0).to(tl.float32), NOTHING)


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
    STUDENT, TEACHER, LABEL, REAL, VALUES, HIGHEST, LOGS, HIGHEST_T, LOGS_T,
    student_steps, teacher_steps, scale, factor,
    V: tl.constexpr, BLOCK: tl.constexpr, STUDENT_STEP: tl.constexpr, TEACHER_STEP: tl.constexpr,
    FORMULA: tl.constexpr, FILL: tl.constexpr,
):  # fmt: skip
    """Write a row's value times factor, VALUES (m,), its highest logits, and logarithms of its sums of powers, (m,)."""
    row = tl.program_id(0).to(tl.int64)
    value = 0.0
    if _counts(LABEL, REAL, row, FORMULA, FILL):
        student = _start(STUDENT, row, student_steps, STUDENT_STEP)
        highest, total = tl.full((), NOTHING, tl.float32), 0.0
        highest_t, total_t, product = tl.full((), NOTHING, tl.float32), 0.0, 0.0
        for first in range(0, V, BLOCK):
            column = first + tl.arange(0, BLOCK)
            ours = _block(student, column, V)
            higher = tl.maximum(highest, tl.max(ours, 0))
            total = total * tl.exp2((highest - higher) * scale) + tl.sum(tl.exp2((ours - higher) * scale), 0)
            highest = higher
            if FORMULA != LABELS:
                theirs = _block(_start(TEACHER, row, teacher_steps, TEACHER_STEP), column, V)
                higher = tl.maximum(highest_t, tl.max(theirs, 0))
                shrink, powers = tl.exp2((highest_t - higher) * scale), tl.exp2((theirs - higher) * scale)
                difference = theirs - ours if FORMULA == KL else tl.where(column < V, -ours, 0.0)
                total_t = total_t * shrink + tl.sum(powers, 0)
                product = product * shrink + tl.sum(powers * difference, 0)
                highest_t = higher
        logs = tl.log2(total)
        tl.store(HIGHEST + row, highest)
        tl.store(LOGS + row, logs)
        if FORMULA == LABELS:
            label = tl.load(LABEL + row)
            # a label that is no column makes the loss no number
            chosen = tl.load(student + label, mask=(label >= 0) & (label < V), other=float("nan"))
            value = ((highest - chosen.to(tl.float32)) * scale + logs) * factor
        else:
            tl.store(HIGHEST_T + row, highest_t)
            tl.store(LOGS_T + row, tl.log2(total_t))
            if FORMULA == KL:  # where the models agree, a difference of two logarithms would be all rounding
                rest, logs = highest - highest_t, tl.log2(total / total_t)
            else:
                rest = highest
            value = ((product / total_t + rest) * scale + logs) * factor
    tl.store(VALUES + row, value)


@triton.jit
def row_gradients(
    STUDENT, TEACHER, LABEL, REAL, WEIGHT, TO_STUDENT, HIGHEST, LOGS, HIGHEST_T, LOGS_T,
    student_steps, teacher_steps, gradient_steps, scale, factor,
    V: tl.constexpr, BLOCK: tl.constexpr, STUDENT_STEP: tl.constexpr, TEACHER_STEP: tl.constexpr,
    GRADIENT_STEP: tl.constexpr, FORMULA: tl.constexpr, FILL: tl.constexpr,
):  # fmt: skip
    """Write what WEIGHT (1,), the gradient of the values' sum, gives the student's logits, TO_STUDENT (m, V)."""
    row = tl.program_id(0).to(tl.int64)
    gradients = _start(TO_STUDENT, row, gradient_steps, GRADIENT_STEP)
    if _counts(LABEL, REAL, row, FORMULA, FILL):
        student = _start(STUDENT, row, student_steps, STUDENT_STEP)
        weight, highest, logs = tl.load(WEIGHT) * factor, tl.load(HIGHEST + row), tl.load(LOGS + row)
        for first in range(0, V, BLOCK):
            column = first + tl.arange(0, BLOCK)
            ours = tl.exp2((_block(student, column, V) - highest) * scale - logs)
            if FORMULA == LABELS:
                target = tl.where(column == tl.load(LABEL + row), 1.0, 0.0)
            else:
                theirs = _block(_start(TEACHER, row, teacher_steps, TEACHER_STEP), column, V)
                target = tl.exp2((theirs - tl.load(HIGHEST_T + row)) * scale - tl.load(LOGS_T + row))
            gradient = weight * (ours - target)
            tl.store(gradients + column, gradient.to(TO_STUDENT.dtype.element_ty), mask=column < V)
    else:
        for first in range(0, V, BLOCK):
            column = first + tl.arange(0, BLOCK)
            tl.store(gradients + column, tl.zeros((BLOCK,), TO_STUDENT.dtype.element_ty), mask=column < V)
