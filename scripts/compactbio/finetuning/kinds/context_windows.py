"""Question answering: question and context in windows, answer positions, and what decoding needs.

A context longer than the room beside its question is shown in windows that overlap by `stride` pieces. In
training, a window that does not hold the whole answer points at [CLS], as the reference code's does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Encoding

from compactbio.errors import UserError
from compactbio.finetuning.features import Feature, PieceTokenizer
from compactbio.finetuning.kinds.piece_characters import piece_characters, word_characters_of_text
from compactbio.finetuning.kinds.task_kind import Features


@dataclass(frozen=True)
class ContextPieces:
    """Where the context pieces of one window lie.

    Attributes:
        snippet: number of the row (question and context) that the window belongs to.
        begin: position in the window of its first context piece.
        starts, ends: int64 [context pieces in the window], characters of the context at which the *word* of
            each piece begins and ends, so that an answer never begins or ends inside a word.
    """

    snippet: int
    begin: int
    starts: np.ndarray
    ends: np.ndarray


def context_windows(
    questions: Sequence[str],
    contexts: Sequence[str],
    answers: Sequence[dict[str, list]] | None,
    tokenizer: PieceTokenizer,
    max_length: int,
    stride: int,
) -> Features:
    """Return the windows of rows with scalar targets `start` and `end`; rows with an empty context have none.

    Their origin is a list of `ContextPieces`; noted are questions cut to leave room for context, and rows whose answer
    text does not stand at its offset, which are trained as unanswerable.

    Args:
        answers: {"text": [...], "answer_start": [...]} per row, of which the first counts; None for
            prediction, all targets are 0 then.
        max_length: pieces of a window, special ones included.
        stride: context pieces that two neighbouring windows share.

    Raises:
        UserError: max_length leaves no room for windows that overlap by `stride`.
    """
    # Twice the stride is always left for the context: each further window then brings at least as many
    # new pieces as it repeats. Only questions longer than the rest are cut (125 pieces of 384 with 128).
    frame = tokenizer.frame
    longest_question = max_length - frame.pair_pieces - 2 * stride
    if longest_question < 1:
        raise UserError(
            f"finetuning qa: stride {stride} is too large for max_length {max_length}: "
            f"lower it below {(max_length - frame.pair_pieces) // 2} or raise max_length"
        )
    features: list[Feature] = []
    pieces: list[ContextPieces] = []
    cut = misplaced = 0
    encoded = zip(tokenizer.encode_texts(questions), tokenizer.encode_texts(contexts), strict=True)
    for row, (question, context) in enumerate(encoded):
        cut += len(question.ids) > longest_question
        asked = question.ids[:longest_question]
        offsets = piece_characters(contexts[row], context, trimmed=tokenizer.reads_blanks)
        span = None
        if answers is not None:
            span, wrong = _answer_pieces(contexts[row], offsets, answers[row])
            misplaced += wrong
        if tokenizer.reads_blanks:
            word_starts, word_ends = word_characters_of_text(contexts[row], offsets)
        else:
            word_starts, word_ends = _word_characters(context)
        for begin, end in window_ranges(len(context.ids), max_length - frame.pair_pieces - len(asked), stride):
            ids, first, first_segment = frame.two(asked, context.ids[begin:end])
            start = stop = 0
            if span is not None and begin <= span[0] and span[1] < end:
                start, stop = (position - begin + first for position in span)
            targets = {"start": np.asarray(start, np.int64), "end": np.asarray(stop, np.int64)}
            features.append(Feature(ids, first_segment, targets))
            pieces.append(ContextPieces(row, first, word_starts[begin:end], word_ends[begin:end]))
    return Features(features, pieces, {"cut_questions": cut, "misplaced_answers": misplaced})


def window_ranges(count: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Return ranges [begin, end) of at most `room` that cover `count` pieces, neighbours sharing `stride`."""
    ranges = []
    begin = 0
    while begin < count:
        end = min(begin + room, count)
        ranges.append((begin, end))
        if end == count:
            break
        begin = end - stride
    return ranges


def _answer_pieces(text: str, offsets: np.ndarray, answers: dict[str, list]) -> tuple[tuple[int, int] | None, bool]:
    """Return (first and last piece of the first answer, or None without one; whether it stood misplaced)."""
    if not answers["text"] or not answers["text"][0].strip() or not len(offsets):
        return None, False
    answer, first = answers["text"][0], answers["answer_start"][0]
    if first < 0 or text[first : first + len(answer)] != answer:
        return None, True
    last = first + len(answer)
    start = int(np.searchsorted(offsets[:, 0], first, side="right")) - 1
    end = int(np.searchsorted(offsets[:, 1], last, side="left"))
    start, end = max(start, 0), min(end, len(offsets) - 1)
    return ((start, end), False) if start <= end else (None, True)


def _word_characters(context: Encoding) -> tuple[np.ndarray, np.ndarray]:
    """Return per piece the character offsets of the whole word that it is a part of."""
    if not context.ids:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    offsets = np.asarray(context.offsets, np.int64)
    words = np.asarray(context.word_ids, np.int64)
    _, first, of_piece = np.unique(words, return_index=True, return_inverse=True)
    last = np.append(first[1:], len(words)) - 1
    return offsets[first, 0][of_piece], offsets[last, 1][of_piece]
