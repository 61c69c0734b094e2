"""What one results folder of a fine-tuning holds, with the test data that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compactbio.digests import AGAIN
from compactbio.errors import UserError
from compactbio.files import MANIFEST, read_json
from compactbio.kinds import kind_of
from compactbio.kinds.kind import SEEN_IN_TRAIN, UNSEEN_PREFIX, Kind
from compactbio.scoring.predictions import PredictionFile
from compactbio.settings.results import Finetuning
from compactbio.settings.runs import FinetuningRun, read_finetuning_run
from compactbio.tasks.leakage import seen_in_train
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
        """Return bool [test rows]: whose unit (see Leak) also stands in train."""
        return seen_in_train(train, test, self.kind.leak)

    def with_unseen(self, score: Callable[[np.ndarray], Metrics], unseen: np.ndarray) -> Metrics:
        """Return metrics, how many test examples stand in train too, and the metrics without those where there are any.

        Args:
            score: returns the metrics of some test examples, given as bool [examples].
            unseen: bool [examples], those that do not stand in train.
        """
        metrics = score(np.ones_like(unseen)) | {SEEN_IN_TRAIN: int((~unseen).sum())}
        if not unseen.all():
            without = {f"{UNSEEN_PREFIX}{name}": value for name, value in score(unseen).items()}
            known = self.kind.known_metrics()
            metrics |= {name: value for name, value in without.items() if name in known}
        return metrics

    def check_gold(self, gold: Sequence[Any], test: Rows, what: str) -> None:
        """Refuse gold labels, one or a list of them a row, that are not those of the test data."""
        assert self.kind.labels is not None
        names, ids = test.label_names or [], test[self.kind.labels.column]
        expected = (
            [[names[one] for one in row] for row in ids] if self.kind.labels.nested else [names[row] for row in ids]
        )
        differing = [row for row, found, true in zip(test["id"], gold, expected, strict=True) if found != true]
        if differing:
            raise UserError(
                f"{what}: the gold labels of {len(differing)} rows are not those of the test data, the first is "
                f"row {differing[0]}: {NOT_THESE_DATA}"
            )

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


def _check_task_folder(task_folder: Path, settings: FinetuningRun, folder: Path) -> None:
    """Refuse a prepared dataset that is another one's: the two lists of folders may be in different orders."""
    manifest = read_json(task_folder / MANIFEST, dict[str, Any], f"delete {task_folder} and {AGAIN}")
    named = manifest.get("dataset", settings["dataset"])
    if manifest.get("task") != settings["task"] or named != settings["dataset"]:
        raise UserError(
            f"{task_folder} is dataset {named} of task {manifest.get('task')}, but {folder} is of dataset "
            f"{settings['dataset']} of task {settings['task']}: give --results and --tasks in the same order"
        )
