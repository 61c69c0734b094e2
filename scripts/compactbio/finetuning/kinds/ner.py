"""Named-entity recognition: a label for every piece, of which each word takes its first piece's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from compactbio.finetuning.features import PieceTokenizer
from compactbio.finetuning.kinds.labelled import LabelledKind
from compactbio.finetuning.kinds.probabilities import softmax
from compactbio.finetuning.kinds.task_kind import Examples, Features
from compactbio.finetuning.kinds.word_windows import WordPredictions, WordWindows, join_words, word_windows
from compactbio.kinds.tag_schemes import OUTSIDE
from compactbio.scoring.entities import Labels, score_entities
from compactbio.settings.runs import FinetuningRun, Options
from compactbio.tasks.rows import Rows


class EntityRecognition(LabelledKind):
    """Its features are windows of sentences; their origin is `WordWindows`."""

    model_class = "AutoModelForTokenClassification"

    def make_features(
        self, rows: Rows, gold: list[Any], tokenizer: PieceTokenizer, options: Options, *, has_answers: bool
    ) -> Features:
        """Return sentences in windows, every piece of a word or its first one with the word's label."""
        return word_windows(rows["words"], gold, tokenizer, options["max_length"], options["labelled_pieces"])

    def prediction_table(self, part: Examples, logits: Sequence[np.ndarray], labels: list[str]) -> pa.Table:
        """Return a row a sentence: every word, whatever the sentence's length, and its pieces."""
        words = _words(part.origin, [softmax(values) for values in logits], labels)
        names = np.asarray(labels, dtype=object)
        offsets = part.origin.sentence_offsets
        # pieces are in reading order, so a sentence's pieces lie between those of its first and its end word
        piece_offsets = np.searchsorted(words.piece_words, offsets)
        sentence_begins = np.repeat(offsets[:-1], np.diff(piece_offsets))
        gold = np.asarray([label for row in part.gold for label in row], np.int64)

        def nested(values: np.ndarray, bounds: np.ndarray, kind: pa.DataType) -> pa.Array:
            return pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), pa.array(values, kind))

        columns = {
            "id": pa.array(part.rows["id"], pa.int32()),
            "gold": nested(names[gold], offsets, pa.string()),
            "predicted": nested(names[words.labels], offsets, pa.string()),
            "score": nested(words.scores, offsets, pa.float32()),
            "piece_words": nested(words.piece_words - sentence_begins, piece_offsets, pa.int32()),
            "piece_predicted": nested(names[words.piece_labels], piece_offsets, pa.string()),
            "piece_score": nested(words.piece_scores, piece_offsets, pa.float32()),
        }
        return pa.table(columns)

    def scores(self, settings: FinetuningRun, part: Examples, logits: Sequence[np.ndarray]) -> dict[str, float]:
        """Return precision, recall and f1 of the standard protocol: words, strict match."""
        labels = tuple(settings["labels"])
        words = _words(part.origin, logits, labels)
        gold = np.fromiter(chain.from_iterable(part.gold), np.int64)
        offsets = part.origin.sentence_offsets
        scores = score_entities(Labels(gold, labels, offsets), Labels(words.labels, labels, offsets))
        return {name: scores[name] for name in ("precision", "recall", "f1")}


def _words(windows: WordWindows, values: Sequence[np.ndarray], labels: Sequence[str]) -> WordPredictions:
    """Return the label of each word, and of each piece, with the highest value [length, labels] of its window."""
    return join_words(
        windows,
        [row.argmax(axis=-1) for row in values],
        [row.max(axis=-1) for row in values],
        labels.index(OUTSIDE),
    )


KIND = EntityRecognition()
