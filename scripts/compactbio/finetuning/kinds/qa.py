"""Question answering: a start and an end in every window of a context, read as the best spans of each snippet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compactbio.finetuning.features import IGNORED, PieceTokenizer
from compactbio.finetuning.kinds.answer_spans import SPANS_PER_SNIPPET, Spans, best_spans
from compactbio.finetuning.kinds.context_windows import context_windows
from compactbio.finetuning.kinds.probabilities import cross_entropies
from compactbio.finetuning.kinds.task_kind import Examples, Features, TaskKind
from compactbio.scoring.bioasq import (
    MOST_ANSWERS,
    REFERENCE_ANSWER_TOKENS,
    STANDARD_ANSWER_TOKENS,
    Candidate,
    score_factoids,
    standard_answers,
)
from compactbio.settings.runs import FinetuningRun, Options
from compactbio.tasks.rows import Rows


class QuestionAnswering(TaskKind):
    """Its features are windows with the targets `start` and `end`; their origin is a list of `ContextPieces`.

    The loss is a softmax over the pieces of a window or, `over_padding`, over all max_length places, as in the authors'
    script: that pads every window and takes the loss of AutoModelForQuestionAnswering, which masks no place.
    """

    model_class = "AutoModelForQuestionAnswering"

    def __init__(self, *, over_padding: bool = False) -> None:
        self.over_padding = over_padding

    def under(self, quirks: Mapping[str, str]) -> QuestionAnswering:
        """Return the kind with the loss that the switch `qa_loss_over_padding` chooses."""
        return QuestionAnswering(over_padding=quirks.get("qa_loss_over_padding") == "reference")

    def make_features(
        self, rows: Rows, gold: list[Any], tokenizer: PieceTokenizer, options: Options, *, has_answers: bool
    ) -> Features:
        """Return questions and contexts in windows that overlap."""
        answers = rows["answers"] if has_answers else None
        length, stride = options["max_length"], options["stride"]
        return context_windows(rows["question"], rows["context"], answers, tokenizer, length, stride)

    def counted(self, arrays: Mapping[str, np.ndarray], class_weights: np.ndarray | None) -> float:
        """Return how many windows there are."""
        return float(len(arrays["start"]))

    def logits(self, output: Any) -> Tensor:
        """Return logits of starts and ends, [batch, length, 2]."""
        return torch.stack([output.start_logits, output.end_logits], dim=-1)

    def summed_loss(self, logits: Tensor, tensors: Mapping[str, Any], class_weights: Tensor | None) -> Tensor:
        """Return the mean of the start's and the end's summed cross-entropy."""
        lowest = torch.finfo(torch.float32).min
        if "kernel" in tensors:
            logits = _by_window(logits[0], tensors["boundaries"], tensors["rows"], tensors["longest"])
        elif "packing" in tensors:
            windows = logits[0].split(tensors["packing"].lengths)
            logits = nn.utils.rnn.pad_sequence(windows, batch_first=True, padding_value=lowest)
        elif not self.over_padding:
            logits = logits.masked_fill(~tensors["attention_mask"].bool()[..., None], lowest)
        start, end = (
            F.cross_entropy(logits[..., side], tensors[name], ignore_index=IGNORED, reduction="sum")
            for side, name in enumerate(("start", "end"))
        )
        return 0.5 * (start + end)

    def prediction_table(self, part: Examples, logits: Sequence[np.ndarray], labels: list[str]) -> pa.Table:
        """Return the best spans of every snippet for each answer length."""
        spans = {
            limit: _best_spans(part, logits, limit, SPANS_PER_SNIPPET)
            for limit in (REFERENCE_ANSWER_TOKENS, STANDARD_ANSWER_TOKENS)
        }
        return pa.concat_tables([_spans_table(part.rows, found, limit) for limit, found in spans.items()])

    def validation_metrics(
        self, settings: FinetuningRun, part: Examples, logits: Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Return `loss` (mean over windows) and strict, lenient and mrr of the standard protocol.

        Every answer text of a question's rows is right.
        """
        losses = [
            0.5
            * (
                cross_entropies(values[None, :, 0], feature.targets["start"].reshape(1))
                + cross_entropies(values[None, :, 1], feature.targets["end"].reshape(1))
            )
            for values, feature in zip(logits, part.features, strict=True)
        ]
        logits = [values[: len(feature.ids)] for values, feature in zip(logits, part.features, strict=True)]
        rows = part.rows
        golden: dict[str, list[list[str]]] = {question: [[]] for question in rows["question_id"]}
        for question, answers in zip(rows["question_id"], rows["answers"], strict=True):
            golden[question][0] += answers["text"]
        spans = _best_spans(part, logits, STANDARD_ANSWER_TOKENS, MOST_ANSWERS)
        found: dict[str, list[Candidate]] = {}
        for row, rank, start, end, score in zip(
            spans.snippet.tolist(), spans.rank.tolist(), spans.start, spans.end, spans.score, strict=True
        ):
            candidate = Candidate(rows["snippet"][row], rank, rows["context"][row][start:end], float(score))
            found.setdefault(rows["question_id"][row], []).append(candidate)
        scores = score_factoids(
            golden, {question: standard_answers(candidates) for question, candidates in found.items()}
        )
        loss = float(np.concatenate(losses).mean())
        return {"loss": loss, **scores}


def _by_window(logits: Tensor, boundaries: Tensor, rows: int, longest: int) -> Tensor:
    """Return (rows, longest, 2) of the logits (pieces, 2) of packed windows, the lowest number behind each window."""
    columns = torch.arange(longest, device=logits.device)
    begins, ends = boundaries[:rows, None], boundaries[1 : rows + 1, None]
    places = (begins + columns).clamp(max=len(logits) - 1)
    found = logits.index_select(0, places.flatten()).view(rows, longest, 2)
    return found.masked_fill((columns >= ends - begins)[..., None], torch.finfo(logits.dtype).min)


def _best_spans(part: Examples, logits: Sequence[np.ndarray], limit: int, count: int) -> Spans:
    """Return at most `count` spans, of at most `limit` pieces, of each snippet."""
    return best_spans([row[:, 0] for row in logits], [row[:, 1] for row in logits], part.origin, limit, count)


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


KIND = QuestionAnswering()
