"""All scores of one fine-tuned model on one dataset: every run under every protocol of its kind of task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from compactbio.errors import UserError
from compactbio.files import read_json, read_yaml
from compactbio.finetuning.task_data import Rows, read_rows
from compactbio.scoring import answers, entities
from compactbio.scoring.bioasq import score_factoids
from compactbio.scoring.bioasq_files import write_submission
from compactbio.scoring.predictions import PredictionFile, in_order, one_array
from compactbio.scoring.relations import score_relations
from compactbio.scoring.tables import Score

STANDARD, REFERENCE = "standard", "reference"
SPECIAL_PIECES = 2  # [CLS] and [SEP]
_NOT_THESE_DATA = "they were made for other data; run finetune_model again"

log = logging.getLogger(__name__)

Metrics = dict[str, float]


@dataclass(frozen=True)
class Finetuned:
    """What one results folder holds, and the test data that belong to it."""

    folder: Path
    task_folder: Path
    settings: dict[str, Any]
    test: Rows
    predictions: PredictionFile

    def what(self, run: str) -> str:
        """Return file and run for messages."""
        return f"{self.predictions.path}, run {run}"


def score_folder(model: str, folder: Path, task_folder: Path) -> list[Score]:
    """Return all scores of a results folder; for BioASQ also write its submission files there.

    Args:
        model: the name that its run.yaml must have.
        folder: holds run.yaml and predictions.parquet.
        task_folder: the prepared dataset.

    Raises:
        UserError: the folders do not belong together, or predictions are missing, doubled or NaN.
    """
    settings = read_yaml(folder / "run.yaml")
    wanting = [key for key in ("model", "dataset", "task", "runs", "hyperparameters") if key not in (settings or {})]
    if wanting:
        raise UserError(f"{folder / 'run.yaml'} lacks {', '.join(wanting)}: it is no run file of finetune_model")
    if settings["model"] != model:
        raise UserError(f"{folder / 'run.yaml'} is of model {settings['model']}, not of {model} (--model)")
    task = settings["task"]
    if task not in _SCORERS:
        raise UserError(f"{folder / 'run.yaml'}: task {task!r} is unknown; known are {', '.join(_SCORERS)}")
    _check_task_folder(task_folder, settings, folder)
    test = read_rows(task_folder / "data", "test", task)
    if test is None:
        raise UserError(f"{task_folder / 'data'} has no split test: prepare the dataset again")
    names = [run["run"] for run in settings["runs"]]
    finetuned = Finetuned(
        folder, task_folder, settings, test, PredictionFile(folder / "predictions.parquet", task, names)
    )
    scores = []
    for run in settings["runs"]:
        for protocol, metrics in _SCORERS[task](finetuned, run):
            scores += [
                Score(task, settings["dataset"], model, run["run"], protocol, metric, value)
                for metric, value in metrics.items()
            ]
            shown = ", ".join(
                f"{metric} {value}" if isinstance(value, int) else f"{metric} {value:.4f}"
                for metric, value in metrics.items()
            )
            log.info("%s %s %s: %s", settings["dataset"], run["run"], protocol, shown)
    return scores


def _check_task_folder(task_folder: Path, settings: dict[str, Any], folder: Path) -> None:
    """Refuse a prepared dataset that is another one's: the two lists of folders may be in different orders."""
    manifest = read_json(task_folder / "manifest.json")
    named = manifest.get("dataset", settings["dataset"])
    if manifest.get("task") != settings["task"] or named != settings["dataset"]:
        raise UserError(
            f"{task_folder} is dataset {named} of task {manifest.get('task')}, but {folder} is of dataset "
            f"{settings['dataset']} of task {settings['task']}: give --results and --tasks in the same order"
        )


def _score_entities(finetuned: Finetuned, run: dict[str, Any]) -> Iterator[tuple[str, Metrics]]:
    """Yield the protocols' scores of a run of named-entity recognition."""
    what = finetuned.what(run["run"])
    test = finetuned.test
    table = in_order(finetuned.predictions.read_run(run["run"]), test["id"], what)
    gold = entities.labels_of_column(one_array(table, "gold"))
    _check_gold_words(gold, test, what)
    predicted = entities.labels_of_column(one_array(table, "predicted"))
    _check_labels(predicted.names, finetuned, what)
    _check_lengths(predicted.lengths, gold.lengths, test, what, "words")
    yield STANDARD, _entity_metrics(entities.score_entities(gold, predicted))

    pieces = entities.labels_of_column(one_array(table, "piece_predicted"))
    _check_labels(pieces.names, finetuned, what)
    piece_words = one_array(table, "piece_words")
    lengths = pc.list_value_length(piece_words).to_numpy(zero_copy_only=False)
    _check_lengths(pieces.lengths, lengths, test, what, "pieces")
    word_indices = piece_words.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    outside = (word_indices < 0) | (word_indices >= np.repeat(gold.lengths, lengths))
    if outside.any():
        raise UserError(f"{what}: piece_words names words that their sentences do not have: {_NOT_THESE_DATA}")
    room = finetuned.settings["hyperparameters"]["max_length"] - SPECIAL_PIECES
    beyond = int(np.maximum(lengths - room, 0).sum())
    if beyond:
        log.info("%s: %d word pieces beyond max_length do not count in the reference protocol", what, beyond)
    yield REFERENCE, _entity_metrics(entities.score_pieces(gold, pieces, word_indices, room))


def _entity_metrics(scores: entities.EntityScores) -> Metrics:
    """Return the numbers of a score table; `entities` are the gold ones."""
    return {
        "precision": scores.precision,
        "recall": scores.recall,
        "f1": scores.f1,
        "entities": scores.entities,
    }


def _check_gold_words(gold: entities.Labels, test: Rows, what: str) -> None:
    """Refuse predictions whose gold labels are not those of the test data."""
    names = test.label_names or []
    code_of_name = {name: code for code, name in enumerate(names)}
    expected = np.fromiter(chain.from_iterable(test["labels"]), np.int64)
    lengths = np.fromiter(map(len, test["labels"]), np.int64, len(test))
    _check_lengths(gold.lengths, lengths, test, what, "words")
    renamed = np.array([code_of_name.get(name, -1) for name in gold.names], np.int64)
    differing = np.flatnonzero(renamed[gold.codes] != expected) if len(expected) else []
    if len(differing):
        sentence = int(np.searchsorted(gold.offsets, differing[0], side="right")) - 1
        raise UserError(
            f"{what}: the gold labels of {len(differing)} words are not those of the test data, the first in "
            f"sentence {test['id'][sentence]}: {_NOT_THESE_DATA}"
        )


def _check_lengths(found: np.ndarray, expected: np.ndarray, test: Rows, what: str, unit: str) -> None:
    """Refuse sentences that have not as many labels as words or pieces."""
    differing = np.flatnonzero(found != expected)
    if len(differing):
        first = differing[0]
        raise UserError(
            f"{what}: sentence {test['id'][first]} has {found[first]} labels for {expected[first]} {unit}: "
            f"{_NOT_THESE_DATA}"
        )


def _check_labels(names: tuple[str, ...], finetuned: Finetuned, what: str) -> None:
    """Refuse labels that the run file does not list."""
    known = finetuned.settings.get("labels") or []
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(
            f"{what}: label {unknown[0]!r} is not among the labels {known} of {finetuned.folder / 'run.yaml'}: "
            "run finetune_model again"
        )


def _score_relations(finetuned: Finetuned, run: dict[str, Any]) -> Iterator[tuple[str, Metrics]]:
    """Yield the scores of a run of relation extraction, over its fold's test rows."""
    what = finetuned.what(run["run"])
    test = finetuned.test.of_fold(run["fold"])
    if not len(test):
        raise UserError(f"{finetuned.task_folder} has no test rows of fold {run['fold']}, which {what} is of")
    positive = finetuned.settings.get("positive_labels")
    if not positive:
        raise UserError(
            f"{finetuned.folder / 'run.yaml'} has no positive_labels: list in datasets."
            f"{finetuned.settings['dataset']}.positive_labels the labels whose scores count"
        )
    table = in_order(finetuned.predictions.read_run(run["run"]), test["id"], what)
    names = test.label_names or []
    gold = one_array(table, "gold").to_pylist()
    predicted = one_array(table, "predicted").to_pylist()
    expected = [names[label] for label in test["label"]]
    differing = [index for index, pair in enumerate(zip(gold, expected, strict=True)) if pair[0] != pair[1]]
    if differing:
        raise UserError(
            f"{what}: the gold labels of {len(differing)} sentences are not those of the test data, the first is "
            f"sentence {test['id'][differing[0]]}: {_NOT_THESE_DATA}"
        )
    _check_labels(tuple(dict.fromkeys(predicted)), finetuned, what)
    yield STANDARD, score_relations(gold, predicted, positive)


def _score_answers(finetuned: Finetuned, run: dict[str, Any]) -> Iterator[tuple[str, Metrics]]:
    """Yield the protocols' scores of a run of question answering; write its submission files."""
    what = finetuned.what(run["run"])
    golden = {entry["question_id"]: entry["answers"] for entry in read_json(finetuned.task_folder / "golden.json")}
    table = finetuned.predictions.read_run(run["run"])
    for protocol, limit, make_list in (
        (STANDARD, answers.STANDARD_ANSWER_TOKENS, answers.standard_answers),
        (REFERENCE, answers.REFERENCE_ANSWER_TOKENS, answers.reference_answers),
    ):
        candidates = _candidates(table.filter(pc.equal(table.column("max_answer_tokens"), limit)))
        _check_questions(candidates, golden, finetuned.test, f"{what}, answers of at most {limit} tokens")
        lists = {question: make_list(found) for question, found in candidates.items()}
        scores = score_factoids(golden, lists)
        official = finetuned.task_folder / "golden_bioasq.json"
        if official.is_file():
            write_submission(finetuned.folder / f"bioasq_{run['run']}_{protocol}.json", official, lists)
        yield protocol, {"strict": scores.strict, "lenient": scores.lenient, "mrr": scores.mrr}


def _candidates(table: Any) -> dict[str, list[answers.Candidate]]:
    """Return the spans of each question in the rows of one run and one answer length."""
    columns = [table.column(name).to_pylist() for name in ("question_id", "snippet", "rank", "text", "score")]
    found: dict[str, list[answers.Candidate]] = {}
    for question, *rest in zip(*columns, strict=True):
        found.setdefault(question, []).append(answers.Candidate(*rest))
    return found


def _check_questions(
    candidates: dict[str, list[answers.Candidate]], golden: dict[str, Any], test: Rows, what: str
) -> None:
    """Refuse predictions that leave out a snippet of the test data or answer a question that is not golden."""
    found = {(question, candidate.snippet) for question, spans in candidates.items() for candidate in spans}
    asked = list(zip(test["question_id"], test["snippet"], test["context"], strict=True))
    # A snippet of white space has no span to find.
    missing = [row[:2] for row in asked if row[:2] not in found and row[2].strip()]
    if missing:
        raise UserError(
            f"{what}: {len(missing)} of {len(asked)} test snippets have no prediction, the first is snippet "
            f"{missing[0][1]} of question {missing[0][0]}: run finetune_model again"
        )
    known = {row[:2] for row in asked}
    strange = sorted(found - known)
    if strange:
        raise UserError(
            f"{what}: snippet {strange[0][1]} of question {strange[0][0]} is not in the test data: {_NOT_THESE_DATA}"
        )
    unscored = [question for question in candidates if question not in golden]
    if unscored:
        raise UserError(f"{what}: question {unscored[0]} is not in golden.json: prepare the dataset again")
    unanswered = sum(question not in candidates for question in golden)
    if unanswered:
        log.warning("%s: %d golden questions have no snippet and count as not answered", what, unanswered)


_SCORERS: dict[str, Callable[[Finetuned, dict[str, Any]], Iterator[tuple[str, Metrics]]]] = {
    "ner": _score_entities,
    "re": _score_relations,
    "qa": _score_answers,
}
