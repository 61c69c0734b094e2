"""The tables of predictions that are stored: one row a sentence, or a span."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from compactbio.finetuning.examples import OUTSIDE, Examples
from compactbio.finetuning.kinds.answer_spans import Spans, best_spans
from compactbio.finetuning.kinds.context_windows import ContextWindows
from compactbio.finetuning.kinds.word_windows import WordWindows, join_words
from compactbio.tasks.rows import Rows

MAX_ANSWER_TOKENS = (15, 30)  # the 2022 pipeline's default, and BioBERT's own recipe

SCHEMAS = {
    "ner": pa.schema(
        [
            ("run", pa.string()),
            ("id", pa.int32()),
            ("gold", pa.list_(pa.string())),
            ("predicted", pa.list_(pa.string())),
            ("score", pa.list_(pa.float32())),
            ("piece_words", pa.list_(pa.int32())),
            ("piece_predicted", pa.list_(pa.string())),
            ("piece_score", pa.list_(pa.float32())),
        ]
    ),
    "re": pa.schema(
        [
            ("run", pa.string()),
            ("fold", pa.int32()),
            ("id", pa.int32()),
            ("gold", pa.string()),
            ("predicted", pa.string()),
            ("probabilities", pa.list_(pa.float32())),
        ]
    ),
    "qa": pa.schema(
        [
            ("run", pa.string()),
            ("question_id", pa.string()),
            ("snippet", pa.int32()),
            ("max_answer_tokens", pa.int32()),
            ("rank", pa.int32()),
            ("text", pa.string()),
            ("score", pa.float64()),
            ("start", pa.int32()),
            ("end", pa.int32()),
            ("probability", pa.float64()),
        ]
    ),
}


def prediction_table(task: str, part: Examples, logits: Sequence[np.ndarray], labels: list[str]) -> pa.Table:
    """Return a part's predictions without the column `run`.

    Args:
        task: ner, re or qa.
        part: what was predicted.
        logits: the head's output per feature, as `predict_logits` returns it.
        labels: in the order of their ids; none for qa.
    """
    if task == "ner":
        return ner_table(part.rows, part.gold, part.windows, logits, labels)
    if task == "re":
        return re_table(part.rows, part.gold, logits, labels)
    return qa_table(part.rows, part.windows, logits)


def ner_table(
    rows: Rows, gold: list[list[int]], windows: WordWindows, logits: Sequence[np.ndarray], labels: list[str]
) -> pa.Table:
    """Return the stored columns but `run`: every sentence, every word, whatever its length."""
    probabilities = [softmax(values) for values in logits]
    words = join_words(
        windows,
        [values.argmax(axis=-1) for values in probabilities],
        [values.max(axis=-1) for values in probabilities],
        labels.index(OUTSIDE),
    )
    names = np.asarray(labels, dtype=object)
    offsets = windows.sentence_offsets
    # pieces are in reading order, so a sentence's pieces lie between those of its first and its end word
    piece_offsets = np.searchsorted(words.piece_words, offsets)
    sentence_begins = np.repeat(offsets[:-1], np.diff(piece_offsets))
    all_gold = np.asarray([label for row in gold for label in row], np.int64)

    def nested(values: np.ndarray, bounds: np.ndarray, kind: pa.DataType) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), pa.array(values, kind))

    columns = {
        "id": pa.array(rows["id"], pa.int32()),
        "gold": nested(names[all_gold], offsets, pa.string()),
        "predicted": nested(names[words.labels], offsets, pa.string()),
        "score": nested(words.scores, offsets, pa.float32()),
        "piece_words": nested(words.piece_words - sentence_begins, piece_offsets, pa.int32()),
        "piece_predicted": nested(names[words.piece_labels], piece_offsets, pa.string()),
        "piece_score": nested(words.piece_scores, piece_offsets, pa.float32()),
    }
    return pa.table(columns)


def re_table(rows: Rows, gold: list[int], logits: Sequence[np.ndarray], labels: list[str]) -> pa.Table:
    """Return the stored columns but `run`."""
    probabilities = [softmax(values) for values in logits]
    columns = {
        "fold": pa.array(rows["fold"], pa.int32()),
        "id": pa.array(rows["id"], pa.int32()),
        "gold": pa.array([labels[index] for index in gold], pa.string()),
        "predicted": pa.array([labels[int(values.argmax())] for values in probabilities], pa.string()),
        "probabilities": pa.array(probabilities, pa.list_(pa.float32())),
    }
    return pa.table(columns)


def qa_table(rows: Rows, windows: ContextWindows, logits: Sequence[np.ndarray]) -> pa.Table:
    """Return the stored columns but `run`: the best spans of every snippet for each answer length."""
    starts = [values[:, 0] for values in logits]
    ends = [values[:, 1] for values in logits]
    tables = []
    for limit in MAX_ANSWER_TOKENS:
        spans = best_spans(starts, ends, windows.contexts, limit)
        tables.append(_spans_table(rows, spans, limit))
    return pa.concat_tables(tables)


def _spans_table(rows: Rows, spans: Spans, limit: int) -> pa.Table:
    """Return one answer length's spans with their texts."""
    questions, snippets, contexts = rows["question_id"], rows["snippet"], rows["context"]
    bounds = zip(spans.snippet.tolist(), spans.start.tolist(), spans.end.tolist(), strict=True)
    columns: dict[str, Any] = {
        "question_id": pa.array([questions[row] for row in spans.snippet], pa.string()),
        "snippet": pa.array([snippets[row] for row in spans.snippet], pa.int32()),
        "max_answer_tokens": pa.array(np.full(len(spans.rank), limit), pa.int32()),
        "rank": pa.array(spans.rank, pa.int32()),
        "text": pa.array([contexts[row][start:end] for row, start, end in bounds], pa.string()),
        "score": pa.array(spans.score, pa.float64()),
        "start": pa.array(spans.start, pa.int32()),
        "end": pa.array(spans.end, pa.int32()),
        "probability": pa.array(spans.probability, pa.float64()),
    }
    return pa.table(columns)


def with_run(table: pa.Table, run: str, task: str) -> pa.Table:
    """Return a table of one run with the column `run` first and the types of SCHEMAS."""
    table = table.add_column(0, "run", pa.array([run] * len(table), pa.string()))
    return table.select(SCHEMAS[task].names).cast(SCHEMAS[task])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis, float32."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)
