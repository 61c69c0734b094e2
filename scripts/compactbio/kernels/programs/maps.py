"""Triton programs of `attention_maps`: attention with dropout, and a term's sum over maps that are never written.

A program with queries holds whole rows of probabilities: the keys of a sequence, at most 256, fit on the chip. Its
rows' logarithms of sums and gradients' means stay behind, (t, a) each, from which a program with a block of keys makes
the same probabilities again and adds up what the keys get. No sum is left to the order in which programs end.

Sizes: t tokens of all sequences, one behind the other; a heads; d size of a head. Queries, keys and values are
(t, a, d), d contiguous; tokens and heads are multiples of STEP values apart, a power of two that the compiler knows:
else it would read each value of a head of 26 by itself. Sequence s begins at STARTS[s], has ROWS[s] queries and KEYS[s]
keys, all from its start on.
"""

from __future__ import annotations

import triton
import triton.language as tl

from compactbio.kernels.programs.draws import factors as drawn_factors

EPSILON = tl.constexpr(1e-12)  # `terms.attention_maps.MAP_EPSILON`; a test holds the two together
NOTHING = tl.constexpr(-1e30)  # the score of what is no key
KL, MSE, SCORE_MSE = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
# numbers of which the compiler has nothing to know: a program for each multiple of 16 would cost a trial seconds more
ANY = ["heads", "threshold", "threshold_s", "threshold_t"]
ANY += [f"{what}_{of}" for what in ("token", "head") for of in ("q", "k", "v", "g", "qs", "ks", "qt", "kt")]


@triton.jit
def _rows(
    pointer, positions, head, token_steps, head_steps, inside,
    SIZE: tl.constexpr, BLOCK: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    """Return (positions, BLOCK) of one head, zeros where nothing is inside or beyond the head's size."""
    column = tl.arange(0, BLOCK)
    starts = (positions.to(tl.int64)[:, None] * token_steps + head * head_steps) * STEP
    places = starts + column[None, :]
    return tl.load(pointer + places, mask=inside[:, None] & (column < SIZE)[None, :], other=0.0)


@triton.jit
def _store_rows(pointer, values, positions, head, heads, inside, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """Write (positions, BLOCK) of one head to a contiguous (t, a, d)."""
    column = tl.arange(0, BLOCK)
    places = (positions.to(tl.int64)[:, None] * heads + head) * SIZE + column[None, :]
    mask = inside[:, None] & (column < SIZE)[None, :]
    tl.store(pointer + places, values.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def _log_sums(scores, is_key):
    """Return the logarithm of the sum of each row's powers."""
    scores = tl.where(is_key[None, :], scores, NOTHING)
    highest = tl.max(scores, 1)
    return highest + tl.log(tl.sum(tl.exp(scores - highest[:, None]), 1))


@triton.jit
def _maps(scores, log_sums, is_key):
    """Return probabilities of rows of scores, 0 where there is no key."""
    return tl.exp(tl.where(is_key[None, :], scores - log_sums[:, None], NOTHING))


@triton.jit
def _formula(maps, target, factors, FORMULA: tl.constexpr):
    """Return a term's values and their derivatives by the student's maps before dropout."""
    ours = maps * factors
    if FORMULA == KL:
        ours += EPSILON
        target += EPSILON
        values = target * (tl.log(target) - tl.log(ours))
        slopes = -target / ours
    else:
        values = (ours - target) * (ours - target)
        slopes = 2.0 * (ours - target)
    return values, slopes * factors


@triton.jit(do_not_specialize=ANY)
def attend(
    Q, K, V, OUT, LOGS, STARTS, ROWS, KEYS, SEED, heads, token_q, head_q, token_k, head_k, token_v, head_v,
    scale, threshold, kept,
    SIZE: tl.constexpr, BLOCK: tl.constexpr, STEP: tl.constexpr,
    N: tl.constexpr, BQ: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write attention's output with dropout, OUT (t, a, d), and LOGS (t, a), for BQ queries."""
    sequence, head, first = tl.program_id(0), tl.program_id(1), tl.program_id(2) * BQ
    start, rows, keys = tl.load(STARTS + sequence), tl.load(ROWS + sequence), tl.load(KEYS + sequence)
    if first < rows:
        number, row = tl.arange(0, N), first + tl.arange(0, BQ)
        is_row, is_key, places = row < rows, number < keys, (start + row) * heads + head
        query = _rows(Q, start + row, head, token_q, head_q, is_row, SIZE, BLOCK, STEP)
        key = _rows(K, start + number, head, token_k, head_k, is_key, SIZE, BLOCK, STEP)
        scores = tl.dot(query, tl.trans(key), input_precision=PRECISION) * scale
        logs = _log_sums(scores, is_key)
        dropped = _maps(scores, logs, is_key) * drawn_factors(SEED, places, number, threshold, kept)
        value = _rows(V, start + number, head, token_v, head_v, is_key, SIZE, BLOCK, STEP)
        output = tl.dot(dropped.to(value.dtype), value, input_precision=PRECISION)
        _store_rows(OUT, output, start + row, head, heads, is_row, SIZE, BLOCK)
        tl.store(LOGS + places, logs, mask=is_row)


@triton.jit(do_not_specialize=ANY)
def attend_backward_queries(
    Q, K, V, GRADIENT, DQ, LOGS, MEANS, STARTS, ROWS, KEYS, SEED, heads,
    token_q, head_q, token_k, head_k, token_v, head_v, token_g, head_g, scale, threshold, kept,
    SIZE: tl.constexpr, BLOCK: tl.constexpr, STEP: tl.constexpr,
    N: tl.constexpr, BQ: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write DQ (t, a, d) and MEANS (t, a), a row's probabilities times their gradients, for BQ queries."""
    sequence, head, first = tl.program_id(0), tl.program_id(1), tl.program_id(2) * BQ
    start, rows, keys = tl.load(STARTS + sequence), tl.load(ROWS + sequence), tl.load(KEYS + sequence)
    if first < rows:
        number, row = tl.arange(0, N), first + tl.arange(0, BQ)
        is_row, is_key, places = row < rows, number < keys, (start + row) * heads + head
        gradient = _rows(GRADIENT, start + row, head, token_g, head_g, is_row, SIZE, BLOCK, STEP)
        value = _rows(V, start + number, head, token_v, head_v, is_key, SIZE, BLOCK, STEP)
        slopes = tl.dot(gradient, tl.trans(value), input_precision=PRECISION)
        slopes *= drawn_factors(SEED, places, number, threshold, kept)
        query = _rows(Q, start + row, head, token_q, head_q, is_row, SIZE, BLOCK, STEP)
        key = _rows(K, start + number, head, token_k, head_k, is_key, SIZE, BLOCK, STEP)
        scores = tl.dot(query, tl.trans(key), input_precision=PRECISION) * scale
        maps = _maps(scores, tl.load(LOGS + places, mask=is_row, other=0.0), is_key)
        means = tl.sum(maps * slopes, 1)
        to_scores = (maps * (slopes - means[:, None]) * scale).to(key.dtype)
        to_query = tl.dot(to_scores, key, input_precision=PRECISION)
        _store_rows(DQ, to_query, start + row, head, heads, is_row, SIZE, BLOCK)
        tl.store(MEANS + places, means, mask=is_row)


@triton.jit(do_not_specialize=ANY)
def attend_backward_keys(
    Q, K, V, GRADIENT, DK, DV, LOGS, MEANS, STARTS, ROWS, KEYS, SEED, heads,
    token_q, head_q, token_k, head_k, token_v, head_v, token_g, head_g, scale, threshold, kept,
    SIZE: tl.constexpr, BLOCK: tl.constexpr, STEP: tl.constexpr,
    BK: tl.constexpr, BQ: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write DK and DV (t, a, d) for BK keys, BQ queries at a time."""
    sequence, head, begin = tl.program_id(0), tl.program_id(1), tl.program_id(2) * BK
    start, rows, keys = tl.load(STARTS + sequence), tl.load(ROWS + sequence), tl.load(KEYS + sequence)
    if begin < keys:
        number = begin + tl.arange(0, BK)
        is_key = number < keys
        key = _rows(K, start + number, head, token_k, head_k, is_key, SIZE, BLOCK, STEP)
        value = _rows(V, start + number, head, token_v, head_v, is_key, SIZE, BLOCK, STEP)
        to_key, to_value = tl.zeros((BK, BLOCK), tl.float32), tl.zeros((BK, BLOCK), tl.float32)
        first = rows * 0  # `range` to a number of the device fails in Triton 3.6's interpreter with numpy 2.4
        while first < rows:
            row = first + tl.arange(0, BQ)
            is_row, places = row < rows, (start + row) * heads + head
            query = _rows(Q, start + row, head, token_q, head_q, is_row, SIZE, BLOCK, STEP)
            scores = tl.dot(query, tl.trans(key), input_precision=PRECISION) * scale
            maps = _maps(scores, tl.load(LOGS + places, mask=is_row, other=0.0), is_key)
            factors = drawn_factors(SEED, places, number, threshold, kept)
            gradient = _rows(GRADIENT, start + row, head, token_g, head_g, is_row, SIZE, BLOCK, STEP)
            to_value += tl.dot(tl.trans((maps * factors).to(value.dtype)), gradient, input_precision=PRECISION)
            slopes = tl.dot(gradient, tl.trans(value), input_precision=PRECISION) * factors
            means = tl.load(MEANS + places, mask=is_row, other=0.0)
            to_scores = (maps * (slopes - means[:, None]) * scale).to(query.dtype)
            to_key += tl.dot(tl.trans(to_scores), query, input_precision=PRECISION)
            first += BQ
        _store_rows(DK, to_key, start + number, head, heads, is_key, SIZE, BLOCK)
        _store_rows(DV, to_value, start + number, head, heads, is_key, SIZE, BLOCK)


@triton.jit(do_not_specialize=ANY)
def compare(
    QS, KS, QT, KT, SUMS, DQ, LOGS_S, LOGS_T, MEANS, STARTS, ROWS, KEYS, SEED_S, SEED_T, heads,
    token_qs, head_qs, token_ks, head_ks, token_qt, head_qt, token_kt, head_kt,
    scale_s, scale_t, threshold_s, threshold_t, kept_s, kept_t,
    SIZE_S: tl.constexpr, BLOCK_S: tl.constexpr, STEP_S: tl.constexpr,
    SIZE_T: tl.constexpr, BLOCK_T: tl.constexpr, STEP_T: tl.constexpr,
    N: tl.constexpr, BQ: tl.constexpr, PRECISION: tl.constexpr, FORMULA: tl.constexpr, BY_KEYS: tl.constexpr,
    DROP_S: tl.constexpr, DROP_T: tl.constexpr, BACKWARD: tl.constexpr,
):  # fmt: skip
    """Write a term's sums over rows of maps, SUMS (t, a), and what DQ and `compare_keys` need, for BQ queries."""
    sequence, head, first = tl.program_id(0), tl.program_id(1), tl.program_id(2) * BQ
    start, rows, keys = tl.load(STARTS + sequence), tl.load(ROWS + sequence), tl.load(KEYS + sequence)
    if first < rows:
        number, row = tl.arange(0, N), first + tl.arange(0, BQ)
        is_row, is_key, places = row < rows, number < keys, (start + row) * heads + head
        query_t = _rows(QT, start + row, head, token_qt, head_qt, is_row, SIZE_T, BLOCK_T, STEP_T)
        key_t = _rows(KT, start + number, head, token_kt, head_kt, is_key, SIZE_T, BLOCK_T, STEP_T)
        teacher = tl.dot(query_t, tl.trans(key_t), input_precision=PRECISION) * scale_t
        query_s = _rows(QS, start + row, head, token_qs, head_qs, is_row, SIZE_S, BLOCK_S, STEP_S)
        key_s = _rows(KS, start + number, head, token_ks, head_ks, is_key, SIZE_S, BLOCK_S, STEP_S)
        student = tl.dot(query_s, tl.trans(key_s), input_precision=PRECISION) * scale_s
        weight = 1.0
        if BY_KEYS:
            weight = 1.0 / tl.maximum(keys, 1).to(tl.float32)
        if FORMULA == SCORE_MSE:
            difference = tl.where(is_key[None, :], student - teacher, 0.0)
            values, to_scores = difference * difference, 2.0 * difference
        else:
            logs_t, logs_s = _log_sums(teacher, is_key), _log_sums(student, is_key)
            target, maps = _maps(teacher, logs_t, is_key), _maps(student, logs_s, is_key)
            factors = 1.0
            if DROP_T:
                target *= drawn_factors(SEED_T, places, number, threshold_t, kept_t)
            if DROP_S:
                factors = drawn_factors(SEED_S, places, number, threshold_s, kept_s)
            values, slopes = _formula(maps, target, factors, FORMULA)
            values = tl.where(is_key[None, :], values, 0.0)
            means = tl.sum(maps * slopes, 1)
            to_scores = maps * (slopes - means[:, None])
            if BACKWARD:
                tl.store(LOGS_S + places, logs_s, mask=is_row)
                tl.store(LOGS_T + places, logs_t, mask=is_row)
                tl.store(MEANS + places, means, mask=is_row)
        tl.store(SUMS + places, tl.sum(values, 1) * weight, mask=is_row)
        if BACKWARD:
            to_scores = (to_scores * (scale_s * weight)).to(query_s.dtype)
            to_query = tl.dot(to_scores, key_s, input_precision=PRECISION)
            _store_rows(DQ, to_query, start + row, head, heads, is_row, SIZE_S, BLOCK_S)


@triton.jit(do_not_specialize=ANY)
def compare_keys(
    QS, KS, QT, KT, DK, LOGS_S, LOGS_T, MEANS, STARTS, ROWS, KEYS, SEED_S, SEED_T, heads,
    token_qs, head_qs, token_ks, head_ks, token_qt, head_qt, token_kt, head_kt,
    scale_s, scale_t, threshold_s, threshold_t, kept_s, kept_t,
    SIZE_S: tl.constexpr, BLOCK_S: tl.constexpr, STEP_S: tl.constexpr,
    SIZE_T: tl.constexpr, BLOCK_T: tl.constexpr, STEP_T: tl.constexpr,
    BK: tl.constexpr, BQ: tl.constexpr, PRECISION: tl.constexpr, FORMULA: tl.constexpr, BY_KEYS: tl.constexpr,
    DROP_S: tl.constexpr, DROP_T: tl.constexpr,
):  # fmt: skip
    """Write what a term's sum gives the student's keys, DK (t, a, d), for BK keys, BQ queries at a time."""
    sequence, head, begin = tl.program_id(0), tl.program_id(1), tl.program_id(2) * BK
    start, rows, keys = tl.load(STARTS + sequence), tl.load(ROWS + sequence), tl.load(KEYS + sequence)
    if begin < keys:
        number = begin + tl.arange(0, BK)
        is_key = number < keys
        key_s = _rows(KS, start + number, head, token_ks, head_ks, is_key, SIZE_S, BLOCK_S, STEP_S)
        key_t = _rows(KT, start + number, head, token_kt, head_kt, is_key, SIZE_T, BLOCK_T, STEP_T)
        to_key = tl.zeros((BK, BLOCK_S), tl.float32)
        weight = 1.0
        if BY_KEYS:
            weight = 1.0 / tl.maximum(keys, 1).to(tl.float32)
        first = rows * 0  # see `attend_backward_keys`
        while first < rows:
            row = first + tl.arange(0, BQ)
            is_row, places = row < rows, (start + row) * heads + head
            query_t = _rows(QT, start + row, head, token_qt, head_qt, is_row, SIZE_T, BLOCK_T, STEP_T)
            teacher = tl.dot(query_t, tl.trans(key_t), input_precision=PRECISION) * scale_t
            query_s = _rows(QS, start + row, head, token_qs, head_qs, is_row, SIZE_S, BLOCK_S, STEP_S)
            student = tl.dot(query_s, tl.trans(key_s), input_precision=PRECISION) * scale_s
            if FORMULA == SCORE_MSE:
                to_scores = 2.0 * (student - teacher)
            else:
                target = _maps(teacher, tl.load(LOGS_T + places, mask=is_row, other=0.0), is_key)
                maps = _maps(student, tl.load(LOGS_S + places, mask=is_row, other=0.0), is_key)
                factors = 1.0
                if DROP_T:
                    target *= drawn_factors(SEED_T, places, number, threshold_t, kept_t)
                if DROP_S:
                    factors = drawn_factors(SEED_S, places, number, threshold_s, kept_s)
                _, slopes = _formula(maps, target, factors, FORMULA)
                to_scores = maps * (slopes - tl.load(MEANS + places, mask=is_row, other=0.0)[:, None])
            # rows that are none have a query of zeros and add nothing
            to_scores = (to_scores * (scale_s * weight)).to(query_s.dtype)
            to_key += tl.dot(tl.trans(to_scores), query_s, input_precision=PRECISION)
            first += BQ
        _store_rows(DK, to_key, start + number, head, heads, is_key, SIZE_S, BLOCK_S)
