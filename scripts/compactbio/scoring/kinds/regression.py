"""Scores of runs of regression: each over its fold's test texts, and the folds' texts pooled; a unit is a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from compactbio.errors import UserError
from compactbio.kinds.kind import POOLED_PREFIX, STANDARD
from compactbio.scoring.correlations import count_numbers, score_numbers
from compactbio.scoring.finetuned import NOT_THESE_DATA, Finetuned, Metrics
from compactbio.scoring.kinds import Scored, Scorer
from compactbio.scoring.predictions import in_order, one_array
from compactbio.scoring.units import Units
from compactbio.settings.runs import Run


def score_run(finetuned: Finetuned, run: Run) -> Iterator[Scored]:
    """Yield what a run scored over its fold's test texts."""
    part = _predicted(finetuned, run)
    units = Units.of_groups(part.documents, count_numbers(part.gold, part.predicted))
    yield Scored(STANDARD, _metrics(finetuned, [part]), units)


def score_pooled(finetuned: Finetuned) -> Iterator[Scored]:
    """Yield the correlations over the test texts of all folds as one set, each predicted by its fold's model."""
    metrics = _metrics(finetuned, [_predicted(finetuned, run) for run in finetuned.settings["runs"]])
    yield Scored(STANDARD, {f"{POOLED_PREFIX}{name}": metrics[name] for name in finetuned.kind.metric_names})


class _Predicted(NamedTuple):
    """The test texts of a run: documents, numbers, and bool [texts], which of them do not stand in train."""

    documents: list[str]
    gold: np.ndarray
    predicted: np.ndarray
    unseen: np.ndarray


def _metrics(finetuned: Finetuned, parts: Sequence[_Predicted]) -> Metrics:
    """Return the scores of predicted texts taken together."""
    gold, predicted, unseen = (
        np.concatenate(arrays) for arrays in zip(*((one.gold, one.predicted, one.unseen) for one in parts), strict=True)
    )
    return finetuned.with_unseen(lambda chosen: score_numbers(gold[chosen], predicted[chosen]), unseen)


def _predicted(finetuned: Finetuned, run: Run) -> _Predicted:
    """Return a run's predictions for its fold's test texts, checked against them."""
    what, test = finetuned.what(run["run"]), finetuned.test.of_fold(run["fold"])
    table = in_order(finetuned.predictions.read_run(run["run"]), test["id"], what)
    gold, predicted = (one_array(table, name).to_numpy() for name in ("gold", "predicted"))
    differing = np.flatnonzero(gold != np.asarray(test["score"]))
    if len(differing):
        raise UserError(
            f"{what}: the gold numbers of {len(differing)} rows are not those of the test data, the first is row "
            f"{test['id'][differing[0]]}: {NOT_THESE_DATA}"
        )
    unseen = ~finetuned.seen(finetuned.train.of_fold(run["fold"]), test)
    return _Predicted(test["document"], gold, predicted, unseen)


SCORER = Scorer(score_run, score_pooled)
