"""Question answering: the best answer spans of each snippet from start and end logits, without a loop over rows.

As the question-answering pipeline of transformers did in 2022, whose spans the paper's figures come from: a
window's start and end probabilities are softmaxes over its context pieces and [CLS]; a span's probability is
their product; [CLS] itself (the empty answer) is never a candidate, nor is any span that touches the question.
Spans are widened to whole words. Spans of one snippet that cover the same characters, from pieces of one word
or from overlapping windows, are one candidate with the best probability.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compactbio.finetuning.kinds.context_windows import ContextPieces

SPANS_PER_SNIPPET = 20
WINDOWS_AT_ONCE = 64  # bounds memory: 64 windows x 30 lengths x 384 pieces x 8 bytes is 6 MB
FIRST_TRY = 4  # candidates looked at per span wanted; more are taken where too many cover the same characters


@dataclass(frozen=True)
class Spans:
    """Answer candidates, one entry each, ordered by snippet and rank.

    Attributes:
        snippet: number of the row.
        rank: from 1, by probability; ties by start, then end.
        start, end: characters of the context, end exclusive.
        score: sum of start and end logit.
        probability: product of start and end probability in its window.
    """

    snippet: np.ndarray
    rank: np.ndarray
    start: np.ndarray
    end: np.ndarray
    score: np.ndarray
    probability: np.ndarray


def best_spans(
    start_logits: Sequence[np.ndarray],
    end_logits: Sequence[np.ndarray],
    contexts: Sequence[ContextPieces],
    max_answer_tokens: int,
    count: int = SPANS_PER_SNIPPET,
) -> Spans:
    """Return at most `count` spans of each snippet.

    Args:
        start_logits: per window [length], without padding.
        end_logits: the same for the answer's last piece.
        contexts: per window, from `context_windows`.
        max_answer_tokens: pieces of an answer at most, before it is widened to whole words.
        count: spans kept per snippet.
    """
    # Windows of similar length together, or padding makes most of the work.
    order = sorted(range(len(contexts)), key=lambda index: len(contexts[index].starts))
    parts: list[np.ndarray] = []
    for first in range(0, len(order), WINDOWS_AT_ONCE):
        chosen = order[first : first + WINDOWS_AT_ONCE]
        parts.extend(
            _window_candidates(
                [start_logits[index] for index in chosen],
                [end_logits[index] for index in chosen],
                [contexts[index] for index in chosen],
                max_answer_tokens,
                count,
            )
        )
    table = np.concatenate(parts, axis=1) if parts else np.empty((5, 0))
    table = _best_of_equal(table)
    snippet, start, end, _, negative = table
    by_rank = np.lexsort((end, start, negative, snippet))
    table = table[:, by_rank]
    snippet = table[0]
    heads = np.flatnonzero(np.diff(snippet, prepend=-1))
    rank = np.arange(len(snippet)) - np.repeat(heads, np.diff(np.append(heads, len(snippet)))) + 1
    kept = rank <= count
    snippet, start, end, score, negative = table[:, kept]
    return Spans(
        snippet=snippet.astype(np.int64),
        rank=rank[kept].astype(np.int64),
        start=start.astype(np.int64),
        end=end.astype(np.int64),
        score=score,
        probability=-negative,
    )


def _window_candidates(
    start_logits: Sequence[np.ndarray],
    end_logits: Sequence[np.ndarray],
    contexts: Sequence[ContextPieces],
    max_answer_tokens: int,
    count: int,
) -> Iterator[np.ndarray]:
    """Yield tables [5, candidates] (snippet, start, end, score, -probability) that hold the best of each window.

    Among the candidates of a window are its `count` best spans of different characters, or all it has.
    """
    longest = max(len(context.starts) for context in contexts)
    shape = (len(contexts), longest)
    firsts, lasts = np.full(shape, -np.inf), np.full(shape, -np.inf)
    from_character, to_character = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    log_total = np.empty(len(contexts))
    for row, context in enumerate(contexts):
        size = len(context.starts)
        inside = slice(context.begin, context.begin + size)
        firsts[row, :size] = start_logits[row][inside]
        lasts[row, :size] = end_logits[row][inside]
        from_character[row, :size], to_character[row, :size] = context.starts, context.ends
        log_total[row] = _log_sum(start_logits[row][0], firsts[row]) + _log_sum(end_logits[row][0], lasts[row])
    # by_window[w, d, i]: the span from piece i to piece i + d of window w
    widest = min(max_answer_tokens, longest)
    by_window = np.full((len(contexts), widest, longest), -np.inf)
    for further in range(widest):
        by_window[:, further, : longest - further] = firsts[:, : longest - further] + lasts[:, further:]
    scores = by_window.reshape(len(contexts), -1)
    snippets = np.asarray([context.snippet for context in contexts])

    pending, wanted = np.arange(len(contexts)), FIRST_TRY * count
    while len(pending):
        wanted = min(wanted, scores.shape[1])
        chosen = np.argpartition(-scores[pending], wanted - 1, axis=1)[:, :wanted]
        score = np.take_along_axis(scores[pending], chosen, axis=1)
        extra, piece = np.divmod(chosen, longest)
        windows = np.broadcast_to(pending[:, None], chosen.shape)
        real = np.isfinite(score)
        last_piece = np.minimum(piece + extra, longest - 1)  # only unreal candidates pass the end
        rows = np.stack(
            [
                windows[real],
                from_character[windows, piece][real],
                to_character[windows, last_piece][real],
                score[real],
                -np.exp(score - log_total[pending, None])[real],
            ]
        )
        distinct = _best_of_equal(rows)
        found = np.bincount(distinct[0].astype(np.int64), minlength=len(contexts))[pending]
        done = (found >= count) | ~real.all(axis=1) | (wanted == scores.shape[1])
        ready = np.isin(distinct[0], pending[done])
        distinct = distinct[:, ready]
        distinct[0] = snippets[distinct[0].astype(np.int64)]
        yield distinct
        pending, wanted = pending[~done], 4 * wanted


def _best_of_equal(table: np.ndarray) -> np.ndarray:
    """Return the columns of a table of candidates, of those with equal (row 0, start, end) the most probable."""
    order = np.lexsort((table[4], table[2], table[1], table[0]))
    table = table[:, order]
    new = np.ones(table.shape[1], bool)
    new[1:] = (np.diff(table[:3], axis=1) != 0).any(axis=0)
    return table[:, new]


def _log_sum(first: float, others: np.ndarray) -> float:
    """Return log(exp(first) + sum(exp(others))), in double precision."""
    values = np.append(others, first).astype(np.float64)
    highest = values.max()
    return float(highest + np.log(np.exp(values - highest).sum()))
