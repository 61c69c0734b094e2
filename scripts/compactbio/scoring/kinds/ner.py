"""Scores of a run of named-entity recognition: words by the standard protocol, word pieces by the reference's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import chain

import numpy as np
import pyarrow.compute as pc

from compactbio.errors import UserError
from compactbio.kinds.kind import REFERENCE, STANDARD, SUPPORT
from compactbio.scoring import entities
from compactbio.scoring.finetuned import NOT_THESE_DATA, Finetuned, Metrics
from compactbio.scoring.kinds import Scored, Scorer
from compactbio.scoring.predictions import in_order, one_array
from compactbio.scoring.units import Units
from compactbio.scoring.words import score_words
from compactbio.settings.runs import Run
from compactbio.tasks.rows import Rows

SPECIAL_PIECES = 2  # [CLS] and [SEP]

log = logging.getLogger(__name__)


def score_run(finetuned: Finetuned, run: Run) -> Iterator[Scored]:
    """Yield what a run scored under each protocol, a unit being a sentence."""
    what = finetuned.what(run["run"])
    test = finetuned.test
    table = in_order(finetuned.predictions.read_run(run["run"]), test["id"], what)
    gold = entities.labels_of_column(one_array(table, "gold"))
    _check_gold_words(gold, test, what)
    predicted = entities.labels_of_column(one_array(table, "predicted"))
    finetuned.check_labels(predicted.names, what)
    _check_lengths(predicted.lengths, gold.lengths, test, what, "words")
    unseen = ~finetuned.seen(finetuned.train, test)
    examples = list(map(str, test["id"]))

    def scored(protocol: str, matches: entities.Matches) -> Scored:
        """Return the scores of sentences by their counts."""
        counts = matches.by_sentence()
        metrics = finetuned.with_unseen(lambda chosen: entities.scores_of_counts(counts[chosen]), unseen)
        return Scored(protocol, metrics, Units(examples, counts), _of_types(finetuned, matches))

    standard = scored(STANDARD, entities.match_entities(gold, predicted))
    types = _types(finetuned)
    if len(types) > 1:
        standard.metrics["word_macro_f1"] = score_words(gold, predicted, types)
    yield standard

    pieces = entities.labels_of_column(one_array(table, "piece_predicted"))
    finetuned.check_labels(pieces.names, what)
    piece_words = one_array(table, "piece_words")
    lengths = pc.list_value_length(piece_words).to_numpy(zero_copy_only=False)
    _check_lengths(pieces.lengths, lengths, test, what, "pieces")
    word_indices = piece_words.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    outside = (word_indices < 0) | (word_indices >= np.repeat(gold.lengths, lengths))
    if outside.any():
        raise UserError(f"{what}: piece_words names words that their sentences do not have: {NOT_THESE_DATA}")
    room = finetuned.settings["hyperparameters"]["max_length"] - SPECIAL_PIECES
    beyond = int(np.maximum(lengths - room, 0).sum())
    if beyond:
        log.info("%s: %d word pieces beyond max_length do not count in the reference protocol", what, beyond)
    yield scored(REFERENCE, entities.match_pieces(gold, pieces, word_indices, room))


def _types(finetuned: Finetuned) -> list[str]:
    """Return the types of the dataset's labels; none where its entities have no type."""
    types = dict.fromkeys(label.partition("-")[2] for label in finetuned.settings["labels"])
    return [name for name in types if name]


def _of_types(finetuned: Finetuned, matches: entities.Matches) -> dict[str, Metrics]:
    """Return the scores of each type of the dataset's labels, whether the test data hold it or not."""
    found, nothing = matches.by_type(), np.zeros(3, np.int64)
    scores = {name: entities.scores_of_counts(found.get(name, nothing)) for name in _types(finetuned)}
    return {name: {SUPPORT if key == "entities" else key: one[key] for key in one} for name, one in scores.items()}


def _check_gold_words(gold: entities.Labels, test: Rows, what: str) -> None:
    """Refuse predictions whose gold labels are not those of the test data."""
    names = test.label_names or []
    code_of_name = {name: code for code, name in enumerate(names)}
    expected = np.fromiter(chain.from_iterable(test["labels"]), np.int64)
    lengths = np.fromiter(map(len, test["labels"]), np.int64, len(test))
    _check_lengths(gold.lengths, lengths, test, what, "words")
    renamed = np.array([code_of_name.get(name, -1) for name in gold.names], np.int64)
    differing = np.flatnonzero(renamed[gold.codes] != expected) if len(expected) else np.zeros(0, np.int64)
    if len(differing):
        sentence = int(np.searchsorted(gold.offsets, differing[0], side="right")) - 1
        raise UserError(
            f"{what}: the gold labels of {len(differing)} words are not those of the test data, the first in "
            f"sentence {test['id'][sentence]}: {NOT_THESE_DATA}"
        )


def _check_lengths(found: np.ndarray, expected: np.ndarray, test: Rows, what: str, unit: str) -> None:
    """Refuse sentences that have not as many labels as words or pieces."""
    differing = np.flatnonzero(found != expected)
    if len(differing):
        first = differing[0]
        raise UserError(
            f"{what}: sentence {test['id'][first]} has {found[first]} labels for {expected[first]} {unit}: "
            f"{NOT_THESE_DATA}"
        )


SCORER = Scorer(score_run)
