"""Whether the paper's values were replicated: a verdict for each published cell, and rank correlations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from compactbio.kinds import KINDS
from compactbio.kinds.kind import REFERENCE, STANDARD
from compactbio.reporting.published import PAPER_MODELS, PublishedValue
from compactbio.reporting.score_cells import Cell, ScoreCells
from compactbio.reporting.statistics.estimates import HIGHER, LEAST_RUNS, LOWER

REPLICATED, TOO_FEW, NOT_COMPARED = "replicated", "too few runs to say", "not compared"
VERDICTS = (REPLICATED, HIGHER, LOWER, TOO_FEW, NOT_COMPARED)
LEVEL = 0.95
ROUNDING = 0.005  # percent; values are printed with two decimals
LEAST_MODELS = 3  # of a rank correlation

RULE = (
    "Verdict: the test sets are the paper's, so that only the scatter of trainings parts the two values, and the "
    "published one is taken for one more run of ours: replicated means that it lies in the 95 % prediction interval "
    "mean ± t(0.975, n - 1) × s × √(1 + 1/n) of n runs with standard deviation s, higher that our mean lies above it "
    "and the interval leaves it out, lower the opposite. How many runs the paper averaged is not known; several would "
    "make the interval narrower, so that higher and lower hold for any number of them, while replicated says no more "
    "than that one more run of ours could print that value, which a wide interval makes easy. Fewer than "
    f"{LEAST_RUNS} runs do not show the scatter, and no cell's verdict is corrected for the number of cells: of values "
    "that are replicated in truth, one in twenty is missed."
)
OTHER_PROTOCOL = "by the standard protocol, which the paper's own values are not scored by"


@dataclass(frozen=True)
class Comparison:
    """One published value beside our cell; percent and percent points, None where there is none.

    Attributes:
        value: the published one.
        ours: the cell of the same protocol.
        standard: the same cell by the standard protocol.
        interval: of one more run of ours, with level `LEVEL`; None where nothing is compared.
        verdict: one of `VERDICTS`.
        reason: why the verdict is `not compared` or `too few runs to say`.
    """

    value: PublishedValue
    ours: Cell
    standard: Cell
    interval: tuple[float, float] | None
    verdict: str
    reason: str


@dataclass(frozen=True)
class RankCorrelation:
    """How the models of one dataset are ordered in the paper and here; None with fewer than `LEAST_MODELS` models."""

    dataset: str
    metric: str
    models: int
    spearman: float | None
    kendall: float | None


def prediction_interval(mean: float, std: float | None, runs: int) -> tuple[float, float] | None:
    """Return the interval in which one more run lies with probability `LEVEL`, None with fewer than `LEAST_RUNS` runs.

    Runs are taken for independent draws from one normal distribution.
    """
    if std is None or runs < LEAST_RUNS:
        return None
    from scipy.special import stdtrit

    half = float(stdtrit(runs - 1, (1 + LEVEL) / 2)) * std * math.sqrt(1 + 1 / runs)
    return mean - half, mean + half


def compare_with_paper(scored: ScoreCells, values: Sequence[PublishedValue]) -> list[Comparison]:
    """Return a comparison for each published value whose cell is one of ours."""
    return [_comparison(scored, value) for value in values]


def _comparison(scored: ScoreCells, value: PublishedValue) -> Comparison:
    """Return what is said of one published value, by `RULE`."""
    ours = scored.cell(*value.cell)
    standard = scored.cell(value.dataset, value.model, STANDARD, value.metric)
    interval = None
    if ours.mean is not None and value.is_comparable:
        interval = prediction_interval(ours.mean, ours.std, ours.runs)
    verdict, reason = _verdict(value, ours, interval)
    return Comparison(value, ours, standard, interval, verdict, reason)


def _verdict(value: PublishedValue, ours: Cell, interval: tuple[float, float] | None) -> tuple[str, str]:
    """Return (verdict, reason)."""
    if REFERENCE not in KINDS[value.table].protocol_names:
        return NOT_COMPARED, f"how the paper averages {KINDS[value.table].title.lower()} is not known"
    if value.protocol != REFERENCE:
        return NOT_COMPARED, OTHER_PROTOCOL
    if ours.mean is None:
        return NOT_COMPARED, ours.reason
    if interval is None:
        return TOO_FEW, f"{ours.runs} of at least {LEAST_RUNS} runs"
    if interval[0] - ROUNDING <= value.value <= interval[1] + ROUNDING:
        return REPLICATED, ""
    return (HIGHER if ours.mean > value.value else LOWER), ""


def count_verdicts(comparisons: Sequence[Comparison]) -> dict[str, int]:
    """Return how many of the paper's own values (`comparable`) have each verdict, those with none left out."""
    counts = Counter(comparison.verdict for comparison in comparable(comparisons))
    return {verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]}


def comparable(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with values that are scored as ours."""
    return [one for one in comparisons if one.value.is_comparable]


def headline_cells(scored: ScoreCells, values: Sequence[PublishedValue]) -> tuple[int, int]:
    """Return how many cells of the headline metric have one of the values, and how many the paper could fill.

    Counted are the paper's models on this run's datasets that have a reference protocol.
    """
    models = [model for model in scored.models if model in PAPER_MODELS]
    tasks = [task for task in scored.datasets.values() if REFERENCE in KINDS[task].protocol_names]
    filled = sum(
        value.is_comparable and value.metric == KINDS[value.table].headline and value.model in models
        for value in values
    )
    return filled, len(models) * len(tasks)


def rank_correlations(comparisons: Sequence[Comparison]) -> list[RankCorrelation]:
    """Return Spearman's and Kendall's (tau-b) correlation of the models' order for each dataset and metric."""
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for one in comparable(comparisons):
        if one.ours.mean is not None:
            pairs.setdefault((one.value.dataset, one.value.metric), []).append((one.value.value, one.ours.mean))
    return [RankCorrelation(*place, len(values), *_correlations(values)) for place, values in pairs.items()]


def _correlations(values: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    """Return (Spearman, Kendall) of pairs; None where there are too few, or one side does not vary."""
    theirs, ours = zip(*values, strict=True)
    if len(values) < LEAST_MODELS or len(set(theirs)) == 1 or len(set(ours)) == 1:
        return None, None
    from scipy.stats import kendalltau, spearmanr

    return float(spearmanr(theirs, ours).statistic), float(kendalltau(theirs, ours).statistic)
