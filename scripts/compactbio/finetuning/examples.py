"""The examples of one run: which rows of a prepared dataset it trains, validates and tests on, as features."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import MANIFEST, read_json
from compactbio.finetuning.features import Feature, PieceTokenizer
from compactbio.finetuning.kinds.context_windows import ContextWindows, context_windows
from compactbio.finetuning.kinds.sentences import sentence_features
from compactbio.finetuning.kinds.word_windows import WordWindows, word_windows
from compactbio.kinds import kind_of
from compactbio.tasks.rows import Rows, cut_validation, label_ids, read_rows

OUTSIDE = "O"


@dataclass(frozen=True)
class Examples:
    """One part (train, validation or test) of a run.

    Attributes:
        rows: as prepared.
        gold: label ids in the run's order, nested as the label column; empty for qa.
        features: for the model; windows where a row is long.
        windows: how features lie in the rows (None for re).
        notes: counts of what was cut, split or empty, for the log and training.json.
    """

    rows: Rows
    gold: list[Any]
    features: list[Feature]
    windows: WordWindows | ContextWindows | None
    notes: dict[str, int]


class Dataset:
    """A prepared dataset as the runs of one (model, dataset) see it; parts shared by runs are made once."""

    def __init__(self, folder: Path, settings: dict[str, Any], tokenizer: PieceTokenizer) -> None:
        self.folder = folder
        self.settings = settings
        self.kind = kind_of(settings["task"], "run.yaml: task")
        self.task = self.kind.name
        self.tokenizer = tokenizer
        self._check()
        self._splits = {
            split: read_rows(folder / "data", split, self.kind) for split in ("train", "validation", "test")
        }
        for split in ("train", "test"):
            if not self._splits[split]:
                raise UserError(f"{folder}: the split {split!r} is missing or empty: prepare the dataset again")
        self._made: dict[tuple[str, int, int | None], Examples] = {}

    def parts(self, seed: int, fold: int) -> tuple[Examples, Examples | None, Examples]:
        """Return (train, validation or None, test) of a run.

        Raises:
            UserError: the fold has no rows, or a label is not among the run's.
        """
        train, validation = (self._of_fold(self._splits[split], fold) for split in ("train", "validation"))
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
        return self._examples("test", self._of_fold(self._splits["test"], fold), fold, None)

    def _check(self) -> None:
        """Refuse a dataset or settings that do not belong together, before anything is tokenised."""
        if (self.folder / MANIFEST).is_file():
            prepared = read_json(self.folder / MANIFEST).get("task", self.task)
            if prepared != self.task:
                raise UserError(f"{self.folder} is prepared for {prepared}, but run.yaml says {self.task}")
        if self.task == "ner" and OUTSIDE not in self.settings["labels"]:
            raise UserError(f"run.yaml: the labels {self.settings['labels']} lack {OUTSIDE!r}, which ner needs")
        self.tokenizer.require_length(self.settings["hyperparameters"]["max_length"])

    def _of_fold(self, rows: Rows | None, fold: int) -> Rows | None:
        """Return the rows of a fold (re only; others have no folds)."""
        if rows is None or self.task != "re":
            return rows
        chosen = rows.of_fold(fold)
        if not len(chosen) and len(rows):
            present = sorted(set(rows["fold"]))
            raise UserError(f"{self.folder} has no rows of fold {fold} (it has {present}): correct `folds`")
        return chosen

    def _examples(self, split: str, rows: Rows, fold: int, seed: int | None) -> Examples:
        """Return a part's examples, made at its first use."""
        key = (split, fold if self.task == "re" else 0, seed)
        if key not in self._made:
            self._made[key] = self._make(split, rows)
        return self._made[key]

    def _make(self, split: str, rows: Rows) -> Examples:
        """Return a part's rows as features."""
        labels, options = self.settings["labels"], self.settings["hyperparameters"]
        length = options["max_length"]
        source = f"{self.folder}, split {split}"
        notes = {"rows": len(rows)}
        gold: list[Any] = []
        windows: WordWindows | ContextWindows | None = None
        if self.task == "ner":
            gold = label_ids(rows, labels, self.kind.labels, source)
            windows = word_windows(rows["words"], gold, self.tokenizer, length, options["labelled_pieces"])
            features = windows.features
            counted = ("split_sentences", "cut_words", "empty_words", "empty_sentences")
            notes |= {name: getattr(windows, name) for name in counted}
        elif self.task == "re":
            gold = label_ids(rows, labels, self.kind.labels, source)
            made = sentence_features(rows["sentence"], gold, self.tokenizer, length)
            features = made.features
            notes |= {"truncated": made.truncated}
        else:
            answers = None if split == "test" else rows["answers"]
            windows = context_windows(
                rows["question"], rows["context"], answers, self.tokenizer, length, options["stride"]
            )
            features = windows.features
            notes |= {"cut_questions": windows.cut_questions, "misplaced_answers": windows.misplaced}
        notes["features"] = len(features)
        logging.info("%s: %s", source, ", ".join(f"{name} {value:,}" for name, value in notes.items()))
        if split == "train" and not features:
            raise UserError(f"{source} has nothing to train on: every row is empty")
        return Examples(rows, gold, features, windows, notes)
