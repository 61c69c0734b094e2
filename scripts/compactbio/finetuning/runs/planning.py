"""Which runs (seeds, folds) a run file asks for, their fingerprints, where each is kept, and whether it is finished.

A run's folder is <checkpoints>/<fingerprint>/, where the fingerprint covers the settings, the seed and fold, and the
content of model, tokenizer and dataset, but no other run: a run added later costs that run only.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import MANIFEST, read_manifest
from compactbio.finetuning.runs.records import FINISHED
from compactbio.settings.results import MODEL
from compactbio.settings.runs import FinetuningRun, Options
from compactbio.training.checkpoints import fingerprint

RECIPE = 3  # raise when the arithmetic of fine-tuning or of its predictions changes
UNDECISIVE = ("runs", "positive_labels", "keep_weights", "deterministic")  # keys of run.yaml


@dataclass(frozen=True)
class PlannedRun:
    """One run, its hyper-parameters, and where it is kept."""

    name: str
    seed: int
    fold: int
    hyperparameters: Options
    fingerprint: str
    folder: Path
    keeps_weights: bool

    @property
    def finished(self) -> Path:
        """The folder that exists once the run is finished: predictions, metrics, result, weights if they are kept."""
        return self.folder / FINISHED

    def is_finished(self) -> bool:
        """Return whether the run's results, kept weights among them, are there and equal to their digests."""
        if not (self.finished / MANIFEST).is_file():
            return False
        if self.keeps_weights and not (self.finished / MODEL / MANIFEST).is_file():
            logging.info("run %s is done again: its weights are to be kept, which they were not", self.name)
            return False
        try:
            read_manifest(self.finished)
        except UserError as error:
            logging.warning("run %s is done again: %s", self.name, error)
            return False
        return True


def plan_runs(settings: FinetuningRun, digests: dict[str, str], checkpoints: Path) -> list[PlannedRun]:
    """Return the runs of run.yaml in its order with their fingerprints; the first one may have to keep its weights.

    What decides no training is left out: names of runs, the labels that are scored as positive, what is kept, whether
    a GPU repeats its bits.
    """
    shared = {name: value for name, value in settings.items() if name not in UNDECISIVE}
    planned: list[PlannedRun] = []
    for run in settings["runs"]:
        mark = fingerprint({**shared, "seed": run["seed"], "fold": run["fold"]}, digests, RECIPE)
        options, keeps = settings["hyperparameters"], bool(settings.get("keep_weights")) and not planned
        planned.append(PlannedRun(run["run"], run["seed"], run["fold"], options, mark, checkpoints / mark, keeps))
    return planned
