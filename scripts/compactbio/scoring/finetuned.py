"""What one results folder of a fine-tuning holds, with the test data that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compactbio.errors import UserError
from compactbio.files import MANIFEST, read_json
from compactbio.kinds import kind_of
from compactbio.kinds.kind import SEEN_IN_TRAIN, UNSEEN_PREFIX, Kind
from compactbio.scoring.predictions import PredictionFile
from compactbio.settings.results import Finetuning
from compactbio.settings.runs import FinetuningRun, read_finetuning_run
from compactbio.tasks.rows import DATA, Rows, read_rows

NOT_THESE_DATA = "they were made for other data; run finetune_model again"

Metrics = dict[str, float]


@dataclass(frozen=True)
class Finetuned:
    """A results folder whose files belong together.

    Attributes:
        folder: holds run.yaml and predictions.parquet.
        task_folder: the prepared dataset.
        settings: the content of run.yaml.
        kind: of its task.
        train, test: splits of the prepared dataset.
        predictions: of all runs.
    """

    folder: Path
    task_folder: Path
    settings: FinetuningRun
    kind: Kind
    train: Rows
    test: Rows
    predictions: PredictionFile

    def what(self, run: str) -> str:
        """Return file and run for messages."""
        return f"{self.predictions.path}, run {run}"

    def seen(self, train: Rows, test: Rows) -> np.ndarray:
        """Return bool [test rows]: which rows have in the columns of their content what some row of train has.

        prepare_task counts them by the same comparison as `also_in_train`. Training rows that a run sets aside for
        validation are not left out: they decide epochs and grids.
        """
        known = set(_contents(train, self.kind.content))
        return np.fromiter((row in known for row in _contents(test, self.kind.content)), bool, len(test))

    def with_unseen(self, score: Callable[[np.ndarray], Metrics], unseen: np.ndarray, seen_rows: int) -> Metrics:
        """Return metrics, how many test rows also stand in train, and the metrics without those where there are any.

        Args:
            score: returns the metrics of some test examples, given as bool [examples].
            unseen: bool [examples], those that do not stand in train.
            seen_rows: how many rows of the test data do.
        """
        metrics = score(np.ones_like(unseen)) | {SEEN_IN_TRAIN: seen_rows}
        if not unseen.all():
            without = {f"{UNSEEN_PREFIX}{name}": value for name, value in score(unseen).items()}
            known = self.kind.known_metrics()
            metrics |= {name: value for name, value in without.items() if name in known}
        return metrics

    def check_labels(self, names: Sequence[str], what: str) -> None:
        """Refuse labels that the run file does not list."""
        known = self.settings["labels"]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise UserError(
                f"{what}: label {unknown[0]!r} is not among the labels {known} of {Finetuning(self.folder).run}: "
                "run finetune_model again"
            )


def open_finetuned(model: str, folder: Path, task_folder: Path) -> Finetuned:
    """Return a results folder and the data it was made for.

    Args:
        model: the name that its run.yaml must have.
        folder: holds run.yaml and predictions.parquet.
        task_folder: the prepared dataset.

    Raises:
        UserError: the folders do not belong together, or the predictions lack a column or a run.
    """
    run_file = Finetuning(folder).run
    settings = read_finetuning_run(run_file)
    if settings["model"] != model:
        raise UserError(f"{run_file} is of model {settings['model']}, not of {model} (--model)")
    kind = kind_of(settings["task"], f"{run_file}: task")
    _check_task_folder(task_folder, settings, folder)
    splits = {}
    for split in ("train", "test"):
        rows = read_rows(task_folder / DATA, split, kind)
        if rows is None:
            raise UserError(f"{task_folder / DATA} has no split {split}: prepare the dataset again")
        splits[split] = rows
    names = [run["run"] for run in settings["runs"]]
    predictions = PredictionFile(Finetuning(folder).predictions, kind.predictions.scored, names)
    return Finetuned(folder, task_folder, settings, kind, splits["train"], splits["test"], predictions)


def _contents(rows: Rows, content: Sequence[str]) -> Iterator[tuple[object, ...]]:
    """Yield what makes a row, labels and ids apart."""
    for values in zip(*(rows[column] for column in content), strict=True):
        yield tuple(tuple(value) if isinstance(value, list) else value for value in values)


def _check_task_folder(task_folder: Path, settings: FinetuningRun, folder: Path) -> None:
    """Refuse a prepared dataset that is another one's: the two lists of folders may be in different orders."""
    manifest = read_json(task_folder / MANIFEST)
    named = manifest.get("dataset", settings["dataset"])
    if manifest.get("task") != settings["task"] or named != settings["dataset"]:
        raise UserError(
            f"{task_folder} is dataset {named} of task {manifest.get('task')}, but {folder} is of dataset "
            f"{settings['dataset']} of task {settings['task']}: give --results and --tasks in the same order"
        )
