"""Metrics on the validation part after each epoch: the loss, and the measures of the standard protocol."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch

from compactbio.finetuning.examples import Examples
from compactbio.finetuning.features import IGNORED
from compactbio.finetuning.kinds.answer_spans import best_spans
from compactbio.finetuning.kinds.tables import OUTSIDE
from compactbio.finetuning.kinds.word_windows import join_words


def validation_metrics(settings: dict[str, Any], part: Examples, logits: Sequence[np.ndarray]) -> dict[str, float]:
    """Return `loss` (mean over labelled pieces, sentences or windows, unweighted) and the test's own scores."""
    task = settings["task"]
    if task == "qa":
        losses = [
            0.5
            * (
                _cross_entropy(values[None, :, 0], feature.targets["start"].reshape(1))
                + _cross_entropy(values[None, :, 1], feature.targets["end"].reshape(1))
            )
            for values, feature in zip(logits, part.features, strict=True)
        ]
        return {"loss": float(np.concatenate(losses).mean())} | _answer_metrics(part, logits)
    targets = np.concatenate([np.atleast_1d(feature.targets["labels"]) for feature in part.features])
    values = np.concatenate([np.atleast_2d(row) for row in logits])
    counted = targets != IGNORED
    metrics = {"loss": float(_cross_entropy(values[counted], targets[counted]).mean())}
    if task == "re":
        return metrics | _relation_metrics(settings, targets, values.argmax(axis=-1))
    return metrics | _entity_metrics(settings["labels"], part, logits)


def _entity_metrics(labels: list[str], part: Examples, logits: Sequence[np.ndarray]) -> dict[str, float]:
    """Return precision, recall and f1 of the standard protocol: words, strict match."""
    from compactbio.scoring.entities import Labels, score_entities

    words = join_words(
        part.windows,
        [row.argmax(axis=-1) for row in logits],
        [row.max(axis=-1) for row in logits],
        labels.index(OUTSIDE),
    )
    gold = np.fromiter(chain.from_iterable(part.gold), np.int64)
    offsets = part.windows.sentence_offsets
    scores = score_entities(Labels(gold, tuple(labels), offsets), Labels(words.labels, tuple(labels), offsets))
    return {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1}


def _relation_metrics(settings: dict[str, Any], gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return the scores over the classes that count, all classes where the run file names none."""
    from compactbio.scoring.relations import score_relations

    labels = settings["labels"]
    counted = settings.get("positive_labels") or labels
    return score_relations([labels[i] for i in gold], [labels[i] for i in predicted], counted)


def _answer_metrics(part: Examples, logits: Sequence[np.ndarray]) -> dict[str, float]:
    """Return strict, lenient and mrr of the standard protocol, every answer text of a question's rows being right."""
    from compactbio.scoring.answers import MOST_ANSWERS, STANDARD_ANSWER_TOKENS, Candidate, standard_answers
    from compactbio.scoring.bioasq import score_factoids

    rows = part.rows
    spans = best_spans(
        [row[:, 0] for row in logits],
        [row[:, 1] for row in logits],
        part.windows.contexts,
        STANDARD_ANSWER_TOKENS,
        MOST_ANSWERS,
    )
    golden: dict[str, list[list[str]]] = {question: [[]] for question in rows["question_id"]}
    for question, answers in zip(rows["question_id"], rows["answers"], strict=True):
        golden[question][0] += answers["text"]
    found: dict[str, list[Candidate]] = {}
    for row, rank, start, end, score in zip(
        spans.snippet.tolist(), spans.rank.tolist(), spans.start, spans.end, spans.score, strict=True
    ):
        candidate = Candidate(rows["snippet"][row], rank, rows["context"][row][start:end], float(score))
        found.setdefault(rows["question_id"][row], []).append(candidate)
    scores = score_factoids(golden, {question: standard_answers(candidates) for question, candidates in found.items()})
    return {"strict": scores.strict, "lenient": scores.lenient, "mrr": scores.mrr}


def _cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the cross-entropy of each row, float32 [rows]."""
    return torch.nn.functional.cross_entropy(
        torch.from_numpy(np.ascontiguousarray(logits)), torch.from_numpy(targets), reduction="none"
    ).numpy()
