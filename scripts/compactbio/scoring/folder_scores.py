"""All scores and units of one fine-tuned model on one dataset: every run under every protocol of its kind of task."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from compactbio.scoring.finetuned import Finetuned, Metrics, open_finetuned
from compactbio.scoring.kinds import scorer_of
from compactbio.scoring.score_rows import POOLED, Score
from compactbio.scoring.units import RunUnits, Units

log = logging.getLogger(__name__)


def score_folder(model: str, folder: Path, task_folder: Path) -> tuple[list[Score], list[RunUnits]]:
    """Return all scores and units of a results folder; for BioASQ also write its submission files there.

    Arguments are those of `open_finetuned`.

    Raises:
        UserError: the folders do not belong together, or predictions are missing, doubled or NaN.
    """
    finetuned = open_finetuned(model, folder, task_folder)
    task, dataset = finetuned.kind.name, finetuned.settings["dataset"]
    folds = {run["run"]: run["fold"] for run in finetuned.settings["runs"]}
    scores, of_runs = [], []
    for run, protocol, metrics, units in _all_metrics(finetuned):
        if units is not None:
            of_runs.append(RunUnits(task, dataset, model, run, folds[run], protocol, units))
        scores += [Score(task, dataset, model, run, protocol, metric, value) for metric, value in metrics.items()]
        shown = ", ".join(
            f"{metric} {value}" if isinstance(value, int) else f"{metric} {value:.4f}"
            for metric, value in metrics.items()
        )
        log.info("%s %s %s: %s", dataset, run, protocol, shown)
    return scores, of_runs


def _all_metrics(finetuned: Finetuned) -> Iterator[tuple[str, str, Metrics, Units | None]]:
    """Yield (run, protocol, metrics, units) of every run, and of the folds pooled, without units, if several."""
    scorer, runs = scorer_of(finetuned.kind.name), finetuned.settings["runs"]
    for run in runs:
        for protocol, metrics, units in scorer.score_run(finetuned, run):
            yield run["run"], protocol, metrics, units
    if scorer.score_pooled is not None and len({run["fold"] for run in runs}) > 1:
        for protocol, metrics in scorer.score_pooled(finetuned):
            yield POOLED, protocol, metrics, None
