"""Scores of a run of regression; a unit is a document."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compactbio.errors import UserError
from compactbio.kinds.kind import STANDARD
from compactbio.scoring.correlations import count_numbers, score_numbers
from compactbio.scoring.finetuned import NOT_THESE_DATA, Finetuned
from compactbio.scoring.kinds import Scored, Scorer
from compactbio.scoring.predictions import in_order, one_array
from compactbio.scoring.units import Units
from compactbio.settings.runs import Run


def score_run(finetuned: Finetuned, run: Run) -> Iterator[Scored]:
    """Yield what a run scored over the test texts."""
    what, test = finetuned.what(run["run"]), finetuned.test
    table = in_order(finetuned.predictions.read_run(run["run"]), test["id"], what)
    gold, predicted = (one_array(table, name).to_numpy() for name in ("gold", "predicted"))
    differing = np.flatnonzero(gold != np.asarray(test["score"]))
    if len(differing):
        raise UserError(
            f"{what}: the gold numbers of {len(differing)} rows are not those of the test data, the first is row "
            f"{test['id'][differing[0]]}: {NOT_THESE_DATA}"
        )
    unseen = ~finetuned.seen(finetuned.train, test)
    metrics = finetuned.with_unseen(lambda chosen: score_numbers(gold[chosen], predicted[chosen]), unseen)
    yield Scored(STANDARD, metrics, Units.of_groups(test["document"], count_numbers(gold, predicted)))


SCORER = Scorer(score_run)
