"""How a run of each kind of task is scored: a module by the kind's name, found by scorer_of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from compactbio.scoring.finetuned import Finetuned, Metrics
from compactbio.scoring.units import Units
from compactbio.settings.runs import Run


@dataclass(frozen=True)
class Scored:
    """What a run, or all folds as one set, scored under one protocol.

    Attributes:
        protocol: as the kind's record names it.
        metrics: of the test data.
        units: the counts of each test example; None where those of the runs say it all.
        classes: the kind's `class_metrics` and the support of each class; empty where the kind or the data have none.
    """

    protocol: str
    metrics: Metrics
    units: Units | None = None
    classes: Mapping[str, Metrics] = field(default_factory=dict)


@dataclass(frozen=True)
class Scorer:
    """What a module of this package has: `SCORER`.

    Attributes:
        score_run: yields what a run scored under each protocol.
        score_pooled: the same of all folds as one set; None where it has no folds.
    """

    score_run: Callable[[Finetuned, Run], Iterator[Scored]]
    score_pooled: Callable[[Finetuned], Iterator[Scored]] | None = None


def scorer_of(task: str) -> Scorer:
    """Return how a kind of task is scored."""
    scorer: Scorer = import_module(f"{__name__}.{task}").SCORER
    return scorer
