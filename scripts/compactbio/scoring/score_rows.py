"""The long score tables, of runs and of their classes: one row per number."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

from compactbio.files import replacing_file

POOLED = "pooled"  # in a run's place: the predictions of all folds as one set


class Score(NamedTuple):
    """One number of one run; `value` is at most 1, or a count (metrics `entities` and `seen_in_train`)."""

    task: str
    dataset: str
    model: str
    run: str
    protocol: str
    metric: str
    value: float

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What may occur only once."""
        return (self.dataset, self.model, self.run, self.protocol, self.metric)


class ClassScore(NamedTuple):
    """One number of one class in one run; `value` is a fraction in [0, 1], or a count (metric `support`)."""

    task: str
    dataset: str
    model: str
    run: str
    protocol: str
    label: str
    metric: str
    value: float

    @property
    def key(self) -> tuple[str, str, str, str, str, str]:
        """What may occur only once."""
        return (self.dataset, self.model, self.run, self.protocol, self.label, self.metric)


AnyScore = TypeVar("AnyScore", Score, ClassScore)


def write_scores(path: Path, scores: Iterable[AnyScore], of: type[AnyScore]) -> None:
    """Write scores as tab-separated text with a header; numbers keep every digit.

    Raises:
        ValueError: a value is not finite.
    """
    with replacing_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
        writer.writerow(of._fields)
        for score in scores:
            if not math.isfinite(score.value):
                raise ValueError(f"{score} is not a finite number")
            writer.writerow(score)
