"""Estimates of compare_models: what they are, by what rule a model is called different, and the file they stand in."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from compactbio.errors import reading, require_file
from compactbio.files import replacing_file
from compactbio.forms import LARGEST_TEXT
from compactbio.provenance import require_written

MEAN, BASELINE, PAIR = "mean", "baseline", "pair"  # kinds of estimates
ALPHA = 0.05
LEAST_RUNS = 3
HIGHER, LOWER, NOT_SHOWN = "higher", "lower", "no difference shown"
THESE_RUNS = " in these runs"
VERDICTS = (HIGHER, LOWER, f"{HIGHER}{THESE_RUNS}", f"{LOWER}{THESE_RUNS}", NOT_SHOWN)
RULE = (
    f"Verdict: higher or lower where p corrected by Holm is below {ALPHA}, else no difference shown, which is not "
    f"equality. Where either model has fewer than {LEAST_RUNS} runs, their scatter is not known, and the verdict is on "
    "these runs: that these trained models differ on such test examples, not that others trained alike would."
)


class Estimate(NamedTuple):
    """One number with its 95 % percentile interval, in percent or percent points."""

    kind: str  # `mean` (of one model), `baseline` (model less baseline) or `pair` (model less other)
    dataset: str
    protocol: str
    metric: str
    model: str
    other: str  # the model that `model` is compared with; empty for a mean
    value: float
    low: float
    high: float
    p: float | None  # two-sided; None for a mean
    holm: float | None  # p corrected by Holm over the rows of one kind, dataset and protocol
    runs: int
    other_runs: int  # 0 where there is no other model
    examples: int  # of the test data, of all folds together
    resamples: int  # of the bootstrap

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high

    @property
    def resampled(self) -> str:
        """What was resampled: examples always, runs where a model has several."""
        several = [count > 1 for count in (self.runs, self.other_runs) if count]
        if all(several):
            return "runs and examples"
        return "examples, runs of one model" if any(several) else "examples"

    @property
    def verdict(self) -> str:
        """What is said of a difference, by `RULE`; empty for a mean."""
        if self.holm is None:
            return ""
        if self.holm >= ALPHA:
            return NOT_SHOWN
        scope = THESE_RUNS if min(self.runs, self.other_runs) < LEAST_RUNS else ""
        return f"{HIGHER if self.value > 0 else LOWER}{scope}"


def by_model(estimates: Iterable[Estimate], kind: str) -> dict[tuple[str, str, str], Estimate]:
    """Return the estimates of one kind (mean or baseline) by dataset, protocol and model."""
    return {(one.dataset, one.protocol, one.model): one for one in estimates if one.kind == kind}


def write_estimates(path: Path, estimates: Iterable[Estimate]) -> None:
    """Write estimates as tab-separated text with a header; numbers keep every digit, None is empty."""
    with replacing_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
        writer.writerow(Estimate._fields)
        writer.writerows(estimates)


def read_estimates(path: Path) -> list[Estimate]:
    """Return what `write_estimates` wrote.

    Raises:
        UserError: the file is missing or is not of that form.
    """
    require_written(path)
    require_file(path, LARGEST_TEXT)
    with reading(path, "run compare_models again"), path.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        if tuple(header) != Estimate._fields:
            raise ValueError("it has other columns")
        return [_estimate(row) for row in rows]


def _estimate(row: Sequence[str]) -> Estimate:
    """Return one row's values in their types."""
    kind, dataset, protocol, metric, model, other, *numbers = row
    value, low, high = map(float, numbers[:3])
    p, holm = (float(text) if text else None for text in numbers[3:5])
    runs, other_runs, examples, resamples = map(int, numbers[5:])
    place = (kind, dataset, protocol, metric, model, other)
    return Estimate(*place, value, low, high, p, holm, runs, other_runs, examples, resamples)
