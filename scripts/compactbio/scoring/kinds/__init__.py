"""How a run of each kind of task is scored: a module by the kind's name, found by scorer_of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

from compactbio.scoring.finetuned import Finetuned, Metrics
from compactbio.scoring.units import Units
from compactbio.settings.runs import Run


@dataclass(frozen=True)
class Scorer:
    """What a module of this package has: `SCORER`.

    Attributes:
        score_run: yields a run's protocols with their metrics and the counts of each test example.
        score_pooled: yields the protocols with the metrics of all folds as one set; None where it has no folds.
    """

    score_run: Callable[[Finetuned, Run], Iterator[tuple[str, Metrics, Units]]]
    score_pooled: Callable[[Finetuned], Iterator[tuple[str, Metrics]]] | None = None


def scorer_of(task: str) -> Scorer:
    """Return how a kind of task is scored."""
    scorer: Scorer = import_module(f"{__name__}.{task}").SCORER
    return scorer
