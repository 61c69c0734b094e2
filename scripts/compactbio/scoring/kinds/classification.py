"""Scores of a run of text classification; a unit is a document."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress

import numpy as np

from compactbio.kinds.kind import STANDARD
from compactbio.scoring.finetuned import Finetuned, Metrics
from compactbio.scoring.kinds import Scored, Scorer
from compactbio.scoring.predictions import in_order, one_array
from compactbio.scoring.relations import score_classes, score_texts
from compactbio.scoring.units import Units
from compactbio.settings.runs import Run


def score_run(finetuned: Finetuned, run: Run) -> Iterator[Scored]:
    """Yield what a run scored over the test texts."""
    what, test = finetuned.what(run["run"]), finetuned.test
    table = in_order(finetuned.predictions.read_run(run["run"]), test["id"], what)
    gold, predicted = (one_array(table, name).to_pylist() for name in ("gold", "predicted"))
    finetuned.check_gold(gold, test, what)
    finetuned.check_labels(tuple(dict.fromkeys(predicted)), what)

    def score(chosen: np.ndarray) -> Metrics:
        return score_texts(list(compress(gold, chosen)), list(compress(predicted, chosen)))

    metrics = finetuned.with_unseen(score, ~finetuned.seen(finetuned.train, test))
    right = [int(found == true) for found, true in zip(predicted, gold, strict=True)]
    units = Units.of_groups(test["document"], np.stack([right, np.ones_like(right)], axis=1))
    yield Scored(STANDARD, metrics, units, score_classes(gold, predicted, finetuned.settings["labels"]))


SCORER = Scorer(score_run)
