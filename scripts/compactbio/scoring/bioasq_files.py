"""BioASQ's JSON files: reading them as strictly as the official scorer does, and writing a submission.

Where the official scorer ends with a Java exception, a UserError here says which question is the cause.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import write_json
from compactbio.forms import parse_json
from compactbio.scoring.bioasq import AnswerLists, score_factoids
from compactbio.tasks.texts import read_text

# From this edition of the scorer on, questions without golden answer or without response are left out.
FIRST_LENIENT_EDITION = 9
EDITIONS = (5, 8, 9)
_ANSWERED_KINDS = ("factoid", "list", "yesno")  # the scorer needs a response to each of them
_FORM = 'BioASQ\'s form is {"questions": [{"id": ..., "exact_answer": ...}, ...]}'


class _Number(str):
    """A number's digits. The scorer takes a number inside a list for text, but none in a list's place."""


@dataclass(frozen=True)
class Question:
    """One question of a golden or a response file.

    Attributes:
        kind: factoid, list, yesno or summary; None where the file does not say.
        lists: the answer's lists of strings; None where the answer is text or is absent.
        text: a yes/no question's answer; None where it is not text.
    """

    kind: str | None
    lists: AnswerLists | None
    text: str | None

    @property
    def is_answered(self) -> bool:
        """Return whether it has an answer, an empty list being none."""
        return bool(self.lists) or self.text is not None


def read_questions(path: Path) -> dict[str, Question]:
    """Return the questions of a file by id, in file order; of a repeated id the first.

    Raises:
        UserError: no JSON, not BioASQ's form, or an answer that the official scorer cannot read.
    """
    try:
        content = parse_json(read_text(path), parse_int=_Number, parse_float=_Number)
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from None
    entries = content.get("questions") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise UserError(f"{path} has no list of questions: {_FORM}")
    questions: dict[str, Question] = {}
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
            raise UserError(f"{path}: question {number} has no id: {_FORM}")
        identifier = entry["id"]
        lists, text = _read_answer(entry, f"{path}: question {identifier}")
        questions.setdefault(identifier, Question(entry.get("type"), lists, text))
    return questions


def _read_answer(entry: dict[str, Any], where: str) -> tuple[AnswerLists | None, str | None]:
    """Return (lists, text) of an entry's exact_answer; at most one of them is not None."""
    if "exact_answer" not in entry:
        return None, None
    answer = entry["exact_answer"]
    if isinstance(answer, str) and not isinstance(answer, _Number):
        return None, answer
    if not isinstance(answer, list):
        raise UserError(
            f"{where}: exact_answer is {_shown(answer)}, which the official scorer cannot read: write text for a "
            "yes/no question and a list of lists for any other, or leave the key out"
        )
    for part in answer:
        if not isinstance(part, list):
            raise UserError(
                f"{where}: exact_answer holds {_shown(part)} where a list is expected; the official scorer "
                'cannot read it: write every answer as a list of its own, [["first"], ["second"]]'
            )
        for text in part:
            if not isinstance(text, str):
                raise UserError(
                    f"{where}: an answer is {_shown(text)}, which the official scorer cannot read: write text"
                )
    # The scorer drops empty inner lists: they take no rank, and a golden answer of them alone is none.
    return [part for part in answer if part], None


def score_files(golden_path: Path, response_path: Path, edition: int = 5) -> dict[str, float]:
    """Return strict, lenient, mrr and the number of questions of a response file.

    The scores are equal to the official scorer's (-phaseB -e `edition`).

    Raises:
        UserError: a file cannot be read, the golden file has no factoid question, or the official scorer
            would crash on the pair.
    """
    golden, response = read_questions(golden_path), read_questions(response_path)
    if not _factoids(golden):
        raise UserError(f"{golden_path} has no question of type factoid: nothing can be scored")
    if edition >= FIRST_LENIENT_EDITION:
        golden = {key: question for key, question in golden.items() if key in response and question.is_answered}
        if not _factoids(golden):
            raise UserError(f"{response_path} answers no factoid question of {golden_path}")
    _refuse_what_crashes(golden, response, golden_path, response_path)
    lists = _factoids(golden)
    return {**score_factoids(lists, {key: response[key].lists or () for key in lists}), "questions": len(lists)}


def _factoids(questions: Mapping[str, Question]) -> dict[str, AnswerLists]:
    """Return the answers of the factoid questions."""
    return {key: question.lists or () for key, question in questions.items() if question.kind == "factoid"}


def _refuse_what_crashes(
    golden: Mapping[str, Question], response: Mapping[str, Question], golden_path: Path, response_path: Path
) -> None:
    """Raise a UserError for the pairs of questions that end the official scorer with a null pointer."""
    asked = {key: question for key, question in golden.items() if question.kind in _ANSWERED_KINDS}
    missing = [identifier for identifier in asked if identifier not in response]
    if missing:
        raise UserError(
            f"{response_path} lacks {len(missing)} of the {len(asked)} factoid, list and yes/no questions of "
            f"{golden_path}, the first is {missing[0]}; the official scorer crashes on that: give every question "
            "an entry, with an empty list where there is no answer"
        )
    for identifier, question in asked.items():
        given = response[identifier]
        if question.kind == "yesno":
            if question.text is None:
                raise UserError(f"{golden_path}: yes/no question {identifier} has no answer in text")
            if given.lists is not None:
                raise UserError(
                    f"{response_path}: question {identifier} is a yes/no question, but its exact_answer is a list; "
                    'the official scorer crashes on that: write "yes" or "no"'
                )
        elif given.lists and question.lists is None and question.text is None:
            raise UserError(f"{golden_path}: {question.kind} question {identifier} has no exact_answer")


def write_submission(path: Path, golden_path: Path, answers: Mapping[str, AnswerLists]) -> None:
    """Write answers as a file that the official scorer accepts: every question of the golden file has an entry.

    Questions that are not factoid ones get "yes" or an empty list, which says nothing about them: no model here
    answers them. Under the reference protocol there are as many lists as snippets, which the scorer reads but the
    challenge's rules (five at most) would not admit.

    Args:
        path, golden_path: the file to write, and the golden one; its questions and their order are taken over.
        answers: {factoid question: lists of strings}; none for a question that no snippet answered.
    """
    entries = []
    for identifier, question in read_questions(golden_path).items():
        answer: str | list[list[str]] = "yes" if question.kind == "yesno" else []
        if question.kind == "factoid":
            answer = [list(texts) for texts in answers.get(identifier, ())]
        entries.append({"id": identifier, "exact_answer": answer})
    write_json(path, {"questions": entries})


def _shown(value: Any) -> str:
    """Return a JSON value for a message, shortened."""
    text = str(value) if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
