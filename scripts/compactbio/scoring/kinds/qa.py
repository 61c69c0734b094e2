"""Scores of a run of question answering, and its submission files in BioASQ's own form."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import compress
from typing import Any, TypedDict

import numpy as np
import pyarrow.compute as pc

from compactbio.errors import UserError
from compactbio.files import read_json
from compactbio.kinds.kind import REFERENCE, STANDARD
from compactbio.scoring import bioasq
from compactbio.scoring.bioasq_files import write_submission
from compactbio.scoring.finetuned import NOT_THESE_DATA, Finetuned
from compactbio.scoring.kinds import Scored, Scorer
from compactbio.scoring.units import Units
from compactbio.settings.results import Finetuning
from compactbio.settings.runs import Run
from compactbio.tasks.rows import GOLDEN, GOLDEN_COPY, Rows

log = logging.getLogger(__name__)


class _Entry(TypedDict):
    """A question of golden.json: each of its answers in the forms that count."""

    question_id: str
    answers: list[list[str]]


def score_run(finetuned: Finetuned, run: Run) -> Iterator[Scored]:
    """Yield what a run scored under each protocol, a unit being a golden question; write the submission files."""
    what = finetuned.what(run["run"])
    entries = read_json(finetuned.task_folder / GOLDEN, list[_Entry], "prepare the dataset again")
    golden = {entry["question_id"]: entry["answers"] for entry in entries}
    seen = finetuned.seen(finetuned.train, finetuned.test)
    seen_questions = {question for question, shared in zip(finetuned.test["question_id"], seen, strict=True) if shared}
    seen_questions |= golden.keys() & set(finetuned.train["question_id"])  # those without a snippet too
    unseen = np.array([question not in seen_questions for question in golden], bool)
    table = finetuned.predictions.read_run(run["run"])

    def scored(protocol: str, lists: dict[str, list[list[str]]]) -> Scored:
        """Return the scores of a protocol's lists of answers by the counts of their questions."""
        counts = bioasq.count_factoids(golden, lists)
        metrics = finetuned.with_unseen(lambda chosen: bioasq.scores_of_counts(list(compress(counts, chosen))), unseen)
        return Scored(protocol, metrics, Units(list(golden), np.array(counts, np.float64).reshape(-1, 3)))

    for protocol, limit, make_list in (
        (STANDARD, bioasq.STANDARD_ANSWER_TOKENS, bioasq.standard_answers),
        (REFERENCE, bioasq.REFERENCE_ANSWER_TOKENS, bioasq.reference_answers),
    ):
        candidates = _candidates(table.filter(pc.equal(table.column("max_answer_tokens"), limit)))
        _check_questions(candidates, golden, finetuned.test, f"{what}, answers of at most {limit} tokens")
        lists = {question: make_list(found) for question, found in candidates.items()}
        official = finetuned.task_folder / GOLDEN_COPY
        if official.is_file():
            write_submission(Finetuning(finetuned.folder).bioasq(run["run"], protocol), official, lists)
        yield scored(protocol, lists)


def _candidates(table: Any) -> dict[str, list[bioasq.Candidate]]:
    """Return the spans of each question in the rows of one run and one answer length."""
    columns = [table.column(name).to_pylist() for name in ("question_id", "snippet", "rank", "text", "score")]
    found: dict[str, list[bioasq.Candidate]] = {}
    for question, *rest in zip(*columns, strict=True):
        found.setdefault(question, []).append(bioasq.Candidate(*rest))
    return found


def _check_questions(
    candidates: dict[str, list[bioasq.Candidate]], golden: dict[str, Any], test: Rows, what: str
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
            f"{what}: snippet {strange[0][1]} of question {strange[0][0]} is not in the test data: {NOT_THESE_DATA}"
        )
    unscored = [question for question in candidates if question not in golden]
    if unscored:
        raise UserError(f"{what}: question {unscored[0]} is not in golden.json: prepare the dataset again")
    unanswered = sum(question not in candidates for question in golden)
    if unanswered:
        log.warning("%s: %d golden questions have no snippet and count as not answered", what, unanswered)


SCORER = Scorer(score_run)
