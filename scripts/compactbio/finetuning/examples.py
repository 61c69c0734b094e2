"""The examples of one run: which rows of a prepared dataset it trains, validates and tests on, as features."""

from __future__ import annotations

import logging
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import MANIFEST, read_json
from compactbio.finetuning.features import PieceTokenizer
from compactbio.finetuning.kinds import task_kind
from compactbio.finetuning.kinds.task_kind import Examples
from compactbio.kinds import kind_of
from compactbio.settings.runs import FinetuningRun
from compactbio.tasks.rows import DATA, Rows, cut_validation, label_ids, read_rows


class Dataset:
    """A prepared dataset as the runs of one (model, dataset) see it; parts shared by runs are made once."""

    def __init__(self, folder: Path, settings: FinetuningRun, tokenizer: PieceTokenizer) -> None:
        self.folder = folder
        self.settings = settings
        self.kind = kind_of(settings["task"], "run.yaml: task")
        self.tokenizer = tokenizer
        self._check()
        self._train = self._split("train", required=True)
        self._validation = self._split("validation")
        self._test = self._split("test", required=True)
        self._made: dict[tuple[str, int, int | None], Examples] = {}

    def parts(self, seed: int, fold: int) -> tuple[Examples, Examples | None, Examples]:
        """Return (train, validation or None, test) of a run.

        Raises:
            UserError: the fold has no rows, or a label is not among the run's.
        """
        train, validation = self._of_fold(self._train, fold), self._of_fold(self._validation, fold)
        fraction = self.settings.get("validation_fraction")
        drawn = None
        if not validation and fraction:
            train, validation = cut_validation(train, fraction, seed, fold, self.kind.kept_together)
            drawn = seed
        return (
            self._examples("train", train, fold, drawn),
            self._examples("validation", validation, fold, drawn) if validation else None,
            self.test_part(fold),
        )

    def test_part(self, fold: int) -> Examples:
        """Return the test part of the runs of a fold.

        Raises:
            UserError: as for `parts`.
        """
        return self._examples("test", self._of_fold(self._test, fold), fold, None)

    def _check(self) -> None:
        """Refuse a dataset or settings that do not belong together, before anything is tokenised."""
        if (self.folder / MANIFEST).is_file():
            prepared = read_json(self.folder / MANIFEST).get("task", self.kind.name)
            if prepared != self.kind.name:
                raise UserError(f"{self.folder} is prepared for {prepared}, but run.yaml says {self.kind.name}")
        self.tokenizer.require_length(self.settings["hyperparameters"]["max_length"])

    def _split(self, name: str, *, required: bool = False) -> Rows:
        """Return a split of the prepared dataset, empty where it has none."""
        rows = read_rows(self.folder / DATA, name, self.kind)
        if required and not rows:
            raise UserError(f"{self.folder}: the split {name!r} is missing or empty: prepare the dataset again")
        return rows or Rows({name: [] for name in self.kind.columns}, None)

    def _of_fold(self, rows: Rows, fold: int) -> Rows:
        """Return the rows of a fold; all rows of a kind without folds."""
        if not self.kind.has_folds:
            return rows
        chosen = rows.of_fold(fold)
        if not len(chosen) and len(rows):
            present = sorted(set(rows["fold"]))
            raise UserError(f"{self.folder} has no rows of fold {fold} (it has {present}): correct `folds`")
        return chosen

    def _examples(self, split: str, rows: Rows, fold: int, seed: int | None) -> Examples:
        """Return a part's rows as features, made at its first use."""
        key = (split, fold if self.kind.has_folds else 0, seed)
        if key in self._made:
            return self._made[key]
        source = f"{self.folder}, split {split}"
        labels = self.kind.labels
        gold = label_ids(rows, self.settings["labels"], labels, source) if labels else []
        options = self.settings["hyperparameters"]
        made = task_kind(self.kind.name).make_features(rows, gold, self.tokenizer, options, has_answers=split != "test")
        notes = {"rows": len(rows), **made.notes, "features": len(made.features)}
        logging.info("%s: %s", source, ", ".join(f"{name} {value:,}" for name, value in notes.items()))
        if split == "train" and not made.features:
            raise UserError(f"{source} has nothing to train on: every row is empty")
        self._made[key] = Examples(made.features, made.origin, notes, rows, gold)
        return self._made[key]
