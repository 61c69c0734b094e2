"""PubMedQA's expert-labelled part (PQA-L): questions that a context, an abstract without its conclusion, answers.

The official test set is the 500 questions of test_ground_truth.json; the other 500 are train, from which
`validation_fraction` cuts validation data (0.1: the usual 450, 50 and 500). A document is an abstract, by its PMID.
"""

from __future__ import annotations

from typing import TypedDict

from compactbio.errors import UserError
from compactbio.files import read_json
from compactbio.tasks.prepared import Definition, Prepared
from compactbio.tasks.records import Rows, prepared


class _Question(TypedDict):
    """One question, as far as it is read."""

    QUESTION: str
    CONTEXTS: list[str]
    final_decision: str


def read_dataset(definition: Definition) -> Prepared:
    """Return the questions and their contexts, the paragraphs of which are joined by a blank.

    Raises:
        UserError: a file is missing or of another form, or the two do not belong together.
    """
    paths = [definition.folder / name for name in ("ori_pqal.json", "test_ground_truth.json")]
    questions = read_json(paths[0], dict[str, _Question], "get PubMedQA's own file")
    decisions = read_json(paths[1], dict[str, str], "get PubMedQA's own file")
    differing = [pmid for pmid in decisions if questions.get(pmid, {}).get("final_decision") != decisions[pmid]]
    if differing:
        raise UserError(
            f"{paths[1]}: {len(differing)} answers are not those of {paths[0]}, the first of PMID {differing[0]}: "
            "take both files from one release"
        )
    splits = {"train": Rows(definition), "test": Rows(definition)}
    for pmid, question in questions.items():
        rows = splits["test" if pmid in decisions else "train"]
        where = f"{paths[0]}, PMID {pmid}"
        rows.add(question["QUESTION"], " ".join(question["CONTEXTS"]), question["final_decision"], pmid, where)
    return prepared(definition, splits, paths)
