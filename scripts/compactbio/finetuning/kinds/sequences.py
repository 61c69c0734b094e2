"""Kinds of task whose head reads a whole sequence, a text or a pair of texts: its pieces, and one label for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from compactbio.finetuning.features import Feature, PieceTokenizer
from compactbio.finetuning.kinds.labelled import LabelledKind
from compactbio.finetuning.kinds.probabilities import softmax
from compactbio.finetuning.kinds.task_kind import Examples, Features, TaskKind
from compactbio.settings.runs import Options
from compactbio.tasks.rows import Rows


class SequenceKind(TaskKind):
    """Its features are texts or pairs, one a row; `texts` are the columns, of which the second may be empty."""

    model_class = "AutoModelForSequenceClassification"
    texts: tuple[str, ...]

    def make_features(
        self, rows: Rows, gold: list[Any], tokenizer: PieceTokenizer, options: Options, *, has_answers: bool
    ) -> Features:
        """Return [CLS] text [SEP] or [CLS] text [SEP] pair [SEP], cut where it passes the maximal length."""
        encoded = [[one.ids for one in tokenizer.encode_texts(rows[name])] for name in self.texts]
        frame = tokenizer.frame
        features = []
        truncated = 0
        for row, target in enumerate(gold):
            parts = [ids[row] for number, ids in enumerate(encoded) if not number or rows[self.texts[number]][row]]
            special = frame.pieces if len(parts) == 1 else frame.pair_pieces
            rooms = shared_room([len(part) for part in parts], options["max_length"] - special)
            truncated += any(len(part) > room for part, room in zip(parts, rooms, strict=True))
            framed, first_segment = frame.around([part[:room] for part, room in zip(parts, rooms, strict=True)])
            features.append(Feature(framed, first_segment, {"labels": self.target(target)}))
        return Features(features, None, {"truncated": truncated})

    def target(self, gold: Any) -> np.ndarray:
        """Return a row's gold value as a scalar array."""
        return np.asarray(gold, np.int64)


class LabelledSequences(SequenceKind, LabelledKind):
    """The same with one label for each."""

    def prediction_table(self, part: Examples, logits: Sequence[np.ndarray], labels: list[str]) -> pa.Table:
        """Return a row a text."""
        probabilities = [softmax(values) for values in logits]
        columns = {
            "id": pa.array(part.rows["id"], pa.int32()),
            "gold": pa.array([labels[index] for index in part.gold], pa.string()),
            "predicted": pa.array([labels[int(values.argmax())] for values in probabilities], pa.string()),
            "probabilities": pa.array(probabilities, pa.list_(pa.float32())),
        }
        return pa.table(columns)


def shared_room(sizes: Sequence[int], room: int) -> list[int]:
    """Return how many pieces of a text, or of each of two, are kept so that they are at most `room` together.

    The longer one of a pair is cut first, and neither to less than half of the room: transformers' `longest_first`.
    """
    if len(sizes) == 1:
        return [min(sizes[0], room)]
    short, long = sorted(sizes)
    kept = min(short, room // 2)
    rest = min(long, room - kept)
    return [kept, rest] if sizes[0] == short else [rest, kept]
