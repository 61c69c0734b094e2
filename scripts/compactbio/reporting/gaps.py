"""Results as far as they are there: which scores exist beside a running workflow, and why others do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from compactbio.errors import UserError
from compactbio.kinds import KINDS
from compactbio.scoring.score_rows import Score
from compactbio.settings.results import Results

NOT_SCORED = "fine-tuned, not scored yet"


def gap_reasons(results: Path, models: Sequence[str], datasets: Iterable[str]) -> dict[tuple[str, str], str]:
    """Return for each (model, dataset) what is known of it beyond that it was not run."""
    return {
        (model, dataset): NOT_SCORED
        for dataset in datasets
        for model in models
        if Results(results).finetuning(model, dataset).predictions.is_file()
    }


def parse_datasets(texts: Sequence[str]) -> dict[str, str]:
    """Return datasets with their kind of task from `NAME:TASK` texts, in order.

    Raises:
        UserError: a text of another form, an unknown task, a name twice.
    """
    datasets: dict[str, str] = {}
    for text in texts:
        name, separator, task = text.rpartition(":")
        if not separator or not name or task not in KINDS:
            raise UserError(f"--datasets: {text!r} is not NAME:TASK with a task of {', '.join(KINDS)}")
        if name in datasets:
            raise UserError(f"--datasets: {name} stands twice")
        datasets[name] = task
    return datasets


def datasets_in(scores: Iterable[Score]) -> dict[str, str]:
    """Return the datasets that scores are of, with their kind of task, kinds together, in order of occurrence."""
    found = {score.dataset: score.task for score in scores}
    return {name: task for kind in KINDS for name, task in found.items() if task == kind}
