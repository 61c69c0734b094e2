"""Scores of runs of relation extraction: each over its fold's test rows, and the folds' rows pooled."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compactbio.errors import UserError
from compactbio.kinds.kind import POOLED_PREFIX, STANDARD
from compactbio.scoring.finetuned import NOT_THESE_DATA, Finetuned, Metrics, with_unseen
from compactbio.scoring.kinds import Scorer
from compactbio.scoring.predictions import in_order, one_array
from compactbio.scoring.relations import count_relations, find_absent, score_relations
from compactbio.scoring.units import Units
from compactbio.settings.results import Finetuning
from compactbio.settings.runs import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predicted:
    """The test rows of a run: ids, gold and predicted labels, and bool [rows], which of them also stand in train."""

    ids: list[int]
    gold: list[str]
    predicted: list[str]
    seen: np.ndarray


def score_run(finetuned: Finetuned, run: Run) -> Iterator[tuple[str, Metrics, Units]]:
    """Yield the scores of a run over its fold's test rows, with the counts of each row."""
    part = _predicted(finetuned, run)
    metrics = _metrics(finetuned, [part])
    positive = finetuned.settings["positive_labels"]
    absent = find_absent(part.gold, positive)
    if absent:
        log.warning(
            "%s: no test sentence is %s, which macro averages leave out", finetuned.what(run["run"]), ", ".join(absent)
        )
    counts = count_relations(part.gold, part.predicted, positive)
    yield STANDARD, metrics, Units(list(map(str, part.ids)), counts)


def score_pooled(finetuned: Finetuned) -> Iterator[tuple[str, Metrics]]:
    """Yield the scores over the test rows of all folds as one set: large folds weigh more than in the folds' mean."""
    metrics = _metrics(finetuned, [_predicted(finetuned, run) for run in finetuned.settings["runs"]])
    yield STANDARD, {f"{POOLED_PREFIX}{name}": metrics[name] for name in ("precision", "recall", "f1")}


def _metrics(finetuned: Finetuned, parts: Sequence[Predicted]) -> Metrics:
    """Return the scores of predicted rows taken together."""
    positive = finetuned.settings.get("positive_labels")
    if not positive:
        raise UserError(
            f"{Finetuning(finetuned.folder).run} has no positive_labels: list in datasets."
            f"{finetuned.settings['dataset']}.positive_labels the labels whose scores count"
        )
    gold = [label for part in parts for label in part.gold]
    predicted = [label for part in parts for label in part.predicted]
    seen = np.concatenate([part.seen for part in parts])
    unseen = None
    if seen.any():
        kept = np.flatnonzero(~seen)
        of_kept = score_relations([gold[row] for row in kept], [predicted[row] for row in kept], positive)
        unseen = {name: of_kept[name] for name in ("precision", "recall", "f1")}
    return with_unseen(score_relations(gold, predicted, positive), int(seen.sum()), unseen)


def _predicted(finetuned: Finetuned, run: Run) -> Predicted:
    """Return a run's predictions for its fold's test rows, checked against them."""
    what = finetuned.what(run["run"])
    test = finetuned.test.of_fold(run["fold"])
    if not len(test):
        raise UserError(f"{finetuned.task_folder} has no test rows of fold {run['fold']}, which {what} is of")
    table = in_order(finetuned.predictions.read_run(run["run"]), test["id"], what)
    names = test.label_names or []
    gold = one_array(table, "gold").to_pylist()
    predicted = one_array(table, "predicted").to_pylist()
    expected = [names[label] for label in test["label"]]
    differing = [index for index, pair in enumerate(zip(gold, expected, strict=True)) if pair[0] != pair[1]]
    if differing:
        raise UserError(
            f"{what}: the gold labels of {len(differing)} sentences are not those of the test data, the first is "
            f"sentence {test['id'][differing[0]]}: {NOT_THESE_DATA}"
        )
    finetuned.check_labels(tuple(dict.fromkeys(predicted)), what)
    return Predicted(test["id"], gold, predicted, finetuned.seen(finetuned.train.of_fold(run["fold"]), test))


SCORER = Scorer(score_run, score_pooled)
