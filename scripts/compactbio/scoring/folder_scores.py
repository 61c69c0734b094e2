"""All scores and units of one fine-tuned model on one dataset: every run under every protocol of its kind of task."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from compactbio.scoring.finetuned import Finetuned, open_finetuned
from compactbio.scoring.kinds import Scored, scorer_of
from compactbio.scoring.score_rows import POOLED, ClassScore, Score
from compactbio.scoring.units import RunUnits

log = logging.getLogger(__name__)


class FolderScores(NamedTuple):
    """The scores of a results folder, those of its classes, and the counts of each test example."""

    scores: list[Score]
    classes: list[ClassScore]
    units: list[RunUnits]


def score_folder(model: str, folder: Path, task_folder: Path) -> FolderScores:
    """Return everything that is scored of a results folder; for BioASQ also write its submission files there.

    Arguments are those of `open_finetuned`.

    Raises:
        UserError: the folders do not belong together, or predictions are missing, doubled or NaN.
    """
    finetuned = open_finetuned(model, folder, task_folder)
    task, dataset = finetuned.kind.name, finetuned.settings["dataset"]
    folds = {run["run"]: run["fold"] for run in finetuned.settings["runs"]}
    of_folder = FolderScores([], [], [])
    for run, scored in _all_scored(finetuned):
        place = (task, dataset, model, run, scored.protocol)
        if scored.units is not None:
            of_folder.units.append(RunUnits(task, dataset, model, run, folds[run], scored.protocol, scored.units))
        of_folder.scores.extend(Score(*place, metric, value) for metric, value in scored.metrics.items())
        of_folder.classes.extend(
            ClassScore(*place, label, metric, value)
            for label, metrics in scored.classes.items()
            for metric, value in metrics.items()
        )
        shown = ", ".join(
            f"{metric} {value}" if isinstance(value, int) else f"{metric} {value:.4f}"
            for metric, value in scored.metrics.items()
        )
        log.info("%s %s %s: %s", dataset, run, scored.protocol, shown)
    return of_folder


def _all_scored(finetuned: Finetuned) -> Iterator[tuple[str, Scored]]:
    """Yield what each run scored, and the folds pooled, if several."""
    scorer, runs = scorer_of(finetuned.kind.name), finetuned.settings["runs"]
    for run in runs:
        for scored in scorer.score_run(finetuned, run):
            yield run["run"], scored
    if scorer.score_pooled is not None and len({run["fold"] for run in runs}) > 1:
        for scored in scorer.score_pooled(finetuned):
            yield POOLED, scored
