"""Scores of runs of relation extraction: each over its fold's test rows, and the folds' rows pooled."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np

from compactbio.errors import UserError
from compactbio.kinds.kind import POOLED_PREFIX, STANDARD
from compactbio.scoring.finetuned import Finetuned, Metrics
from compactbio.scoring.kinds import Scored, Scorer
from compactbio.scoring.predictions import in_order, one_array
from compactbio.scoring.relations import count_relations, score_classes, score_relations
from compactbio.scoring.units import Units
from compactbio.settings.results import Finetuning
from compactbio.settings.runs import Run

log = logging.getLogger(__name__)


def score_run(finetuned: Finetuned, run: Run) -> Iterator[Scored]:
    """Yield what a run scored over its fold's test rows, a unit being a row."""
    part = _predicted(finetuned, run)
    metrics = _metrics(finetuned, [part])
    positive = finetuned.settings["positive_labels"]
    absent = [label for label in positive if label not in set(part.gold)]
    if absent:
        log.warning(
            "%s: no test sentence is %s, which macro averages leave out", finetuned.what(run["run"]), ", ".join(absent)
        )
    units = Units(part.ids, count_relations(part.gold, part.predicted, positive))
    yield Scored(STANDARD, metrics, units, score_classes(part.gold, part.predicted, positive))


def score_pooled(finetuned: Finetuned) -> Iterator[Scored]:
    """Yield the scores over the test rows of all folds as one set: large folds weigh more than in the folds' mean."""
    metrics = _metrics(finetuned, [_predicted(finetuned, run) for run in finetuned.settings["runs"]])
    yield Scored(STANDARD, {f"{POOLED_PREFIX}{name}": metrics[name] for name in finetuned.kind.metric_names})


class _Predicted(NamedTuple):
    """The test rows of a run: ids, gold and predicted labels, and bool [rows], which of them do not stand in train."""

    ids: list[str]
    gold: list[str]
    predicted: list[str]
    unseen: np.ndarray


def _metrics(finetuned: Finetuned, parts: Sequence[_Predicted]) -> Metrics:
    """Return the scores of predicted rows taken together."""
    positive = finetuned.settings.get("positive_labels")
    if not positive:
        raise UserError(
            f"{Finetuning(finetuned.folder).run} has no positive_labels: list in datasets."
            f"{finetuned.settings['dataset']}.positive_labels the labels whose scores count"
        )
    gold = [label for part in parts for label in part.gold]
    predicted = [label for part in parts for label in part.predicted]
    unseen = np.concatenate([part.unseen for part in parts])

    def score(chosen: np.ndarray) -> Metrics:
        return score_relations(list(compress(gold, chosen)), list(compress(predicted, chosen)), positive)

    return finetuned.with_unseen(score, unseen)


def _predicted(finetuned: Finetuned, run: Run) -> _Predicted:
    """Return a run's predictions for its fold's test rows, checked against them."""
    what = finetuned.what(run["run"])
    test = finetuned.test.of_fold(run["fold"])
    if not len(test):
        raise UserError(f"{finetuned.task_folder} has no test rows of fold {run['fold']}, which {what} is of")
    table = in_order(finetuned.predictions.read_run(run["run"]), test["id"], what)
    gold, predicted = (one_array(table, name).to_pylist() for name in ("gold", "predicted"))
    finetuned.check_gold(gold, test, what)
    finetuned.check_labels(tuple(dict.fromkeys(predicted)), what)
    unseen = ~finetuned.seen(finetuned.train.of_fold(run["fold"]), test)
    return _Predicted(list(map(str, test["id"])), gold, predicted, unseen)


SCORER = Scorer(score_run, score_pooled)
