"""Cells of the tables: mean and standard deviation over runs, gaps with their reasons, the best of a column."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from compactbio.kinds import COUNTS, KINDS
from compactbio.reporting.grouping import grouped
from compactbio.reporting.published import PublishedValue
from compactbio.scoring.score_rows import Score

NOT_RUN = "not run"
NOT_CONFIRMED = "no confirmed published value"


@dataclass(frozen=True, slots=True)
class Cell:
    """One place of a table; `mean` and `std` are percentages (counts for counted metrics)."""

    task: str
    dataset: str
    model: str
    protocol: str
    metric: str
    mean: float | None  # None: a gap, and `reason` says why
    std: float | None  # sample standard deviation (n - 1); None with fewer than two runs
    runs: int
    published: PublishedValue | None
    difference: float | None  # mean less the published value, percent points, where both are scored alike
    reason: str
    label: str = ""  # the class that it is of; empty: of all test data

    @property
    def place(self) -> str:
        """Where it belongs, as a table in HTML names it beside what is printed of it."""
        return " / ".join(filter(None, (self.dataset, self.model, self.protocol, self.metric, self.label)))

    @property
    def is_required(self) -> bool:
        """Whether each run has to have it."""
        return not self.label and self.metric in KINDS[self.task].metrics_of(self.protocol)


@dataclass
class ScoreCells:
    """Everything the tables are made of: what was asked for, and the cells that the scores give."""

    models: tuple[str, ...]
    datasets: dict[str, str]  # name -> task, in the order of the tables
    baseline: str
    cells: dict[tuple[str, str, str, str], Cell] = field(default_factory=dict)

    def cell(self, dataset: str, model: str, protocol: str, metric: str) -> Cell:
        """Return the cell; every dataset, model, protocol and known metric of the run has one."""
        return self.cells[dataset, model, protocol, metric]

    def column(self, dataset: str, protocol: str, metric: str) -> list[Cell]:
        """Return the cells of all models in their order."""
        return [self.cell(dataset, model, protocol, metric) for model in self.models]

    def datasets_of(self, task: str) -> list[str]:
        """Return the datasets of one kind of task in their order."""
        return [name for name, kind in self.datasets.items() if kind == task]

    def run_counts(self, dataset: str) -> list[int]:
        """Return the number of runs behind a dataset's headline metric for each model that has scores."""
        kind = KINDS[self.datasets[dataset]]
        counts = (
            max(self.cell(dataset, model, protocol, kind.headline).runs for protocol in kind.protocol_names)
            for model in self.models
        )
        return [count for count in counts if count]


def summarise(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the sample standard deviation (None for a single value)."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def build_cells(
    scores: Iterable[Score],
    *,
    models: Sequence[str],
    datasets: Mapping[str, str],
    baseline: str,
    published: Mapping[tuple[str, str, str, str], PublishedValue] | None = None,
    reasons: Mapping[tuple[str, str], str] | None = None,
) -> ScoreCells:
    """Return a cell for each dataset, model, protocol and metric; scores of other models or datasets are left out.

    `reasons` say why a (model, dataset) has no scores, where more is known than `NOT_RUN`.
    """
    published, reasons = published or {}, reasons or {}
    fractions = grouped(((score.dataset, score.model, score.protocol, score.metric), score.value) for score in scores)
    with_scores = {(model, dataset) for dataset, model, _, _ in fractions}
    scored = ScoreCells(tuple(models), dict(datasets), baseline)
    for dataset, task in datasets.items():
        for protocol in KINDS[task].protocol_names:
            for model in models:
                gap = "not scored" if (model, dataset) in with_scores else reasons.get((model, dataset), NOT_RUN)
                for metric in KINDS[task].known_metrics():
                    key = (dataset, model, protocol, metric)
                    scored.cells[key] = cell_of(task, key, fractions.get(key, []), published.get(key), gap)
    return scored


def cell_of(
    task: str,
    key: tuple[str, str, str, str],
    fractions: list[float],
    published: PublishedValue | None,
    gap: str,
    label: str = "",
) -> Cell:
    """Return the cell of one place (dataset, model, protocol, metric), or of a class there, from its runs' values."""
    if not fractions:
        return Cell(task, *key, None, None, 0, published, None, gap, label)
    mean, std = summarise([value if key[-1] in COUNTS else 100 * value for value in fractions])
    delta = mean - published.value if published and published.is_comparable else None
    return Cell(task, *key, mean, std, len(fractions), published, delta, "", label)


def rank_marks(values: Sequence[float | None], decimals: int = 2) -> list[str]:
    """Return "best", "second" or "" for each value of a column; higher is better.

    Values are compared as they are printed, so that equal numbers carry equal marks; two bests leave no second.
    A column with a single value has no marks.
    """
    printed = [None if value is None else round(value, decimals) for value in values]
    present = sorted((value for value in printed if value is not None), reverse=True)
    if len(present) < 2:
        return [""] * len(values)
    best, second = present[0], present[1]
    return [
        "" if value is None else "best" if value == best else "second" if value == second else "" for value in printed
    ]
