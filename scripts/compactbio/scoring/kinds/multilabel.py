"""Scores of a run of multi-label classification: documents by the union over their sentences, and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np

from compactbio.kinds.kind import STANDARD, SUPPORT
from compactbio.scoring.finetuned import Finetuned, Metrics
from compactbio.scoring.kinds import Scored, Scorer
from compactbio.scoring.label_sets import count_labels, of_documents, of_ids, score_documents, scores_of_counts
from compactbio.scoring.predictions import in_order, one_array
from compactbio.scoring.units import Units
from compactbio.settings.runs import Run


def score_run(finetuned: Finetuned, run: Run) -> Iterator[Scored]:
    """Yield what a run scored over the test sentences and documents; a unit is a document."""
    what, test, labels = finetuned.what(run["run"]), finetuned.test, finetuned.settings["labels"]
    table = in_order(finetuned.predictions.read_run(run["run"]), test["id"], what)
    gold_names, predicted_names = (one_array(table, name).to_pylist() for name in ("gold", "predicted"))
    finetuned.check_gold(gold_names, test, what)
    finetuned.check_labels(tuple({name: None for names in predicted_names for name in names}), what)

    def matrix(rows: Sequence[Sequence[str]]) -> np.ndarray:
        return of_ids([[labels.index(name) for name in row] for row in rows], len(labels))

    gold, predicted = matrix(gold_names), matrix(predicted_names)
    documents: list[str] = test["document"]
    number_of = {name: number for number, name in enumerate(dict.fromkeys(documents))}
    numbers = np.array([number_of[name] for name in documents], np.int64)
    unseen = np.ones(len(number_of), bool)
    unseen[numbers[finetuned.seen(finetuned.train, test)]] = False

    def score(chosen: np.ndarray) -> Metrics:
        """Return the scores of some documents and their sentences."""
        rows = chosen[numbers]
        return score_documents(gold[rows], predicted[rows], list(compress(documents, rows)))

    joined = of_documents(gold, documents), of_documents(predicted, documents)
    classes = {
        label: scores_of_counts(counts) | {SUPPORT: int(counts[2])}
        for label, counts in zip(labels, count_labels(*joined, 0), strict=True)
    }
    units = Units(list(number_of), count_labels(*joined, 1))
    yield Scored(STANDARD, finetuned.with_unseen(score, unseen), units, classes)


SCORER = Scorer(score_run)
