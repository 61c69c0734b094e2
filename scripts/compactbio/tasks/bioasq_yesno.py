"""The yes/no questions of BioASQ (phase B), from the challenge's own training and golden files.

A question is one row: its body, and the texts of its snippets, each once, in the order of the file. Questions of other
types are left out and counted.
"""

from __future__ import annotations

from typing import Any

from compactbio.errors import UserError
from compactbio.tasks.prepared import Definition, Prepared
from compactbio.tasks.records import Rows, prepared
from compactbio.tasks.squad import read_questions


def read_dataset(definition: Definition) -> Prepared:
    """Return the yes/no questions of each file, whose ids are their documents.

    Raises:
        UserError: a file is not the challenge's, or one of its yes/no questions lacks its text, snippets or answer.
    """
    splits, others = {}, {}
    files = definition.split_files()
    for split, path in files.items():
        questions = read_questions(path)
        splits[split] = Rows(definition)
        asked = [question for question in questions if question["type"] == "yesno"]
        others[split] = len(questions) - len(asked)
        for question in asked:
            where = f"{path}, question {question['id']}"
            splits[split].add(*_texts(question, where), _answer(question), str(question["id"]), where)
        if not asked:
            raise UserError(f"{path} holds no question of type yesno")
    made = prepared(definition, splits, list(files.values()))
    for split, count in others.items():
        made.counts[split]["other_questions"] = count
    return made


def _texts(question: dict[str, Any], where: str) -> tuple[str, str]:
    """Return a question's body and its snippets' texts joined by a blank."""
    snippets = question.get("snippets")
    rows: list[Any] = snippets if isinstance(snippets, list) else []
    texts: list[Any] = [one.get("text") if isinstance(one, dict) else None for one in rows]
    body = question.get("body")
    if not isinstance(body, str) or not body.strip() or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{where}: body, or the text of a snippet, is no text: get the file again")
    return body.strip(), " ".join(dict.fromkeys(text.strip() for text in texts))


def _answer(question: dict[str, Any]) -> str:
    """Return a question's answer, yes or no; some years have it in a list."""
    answer = question.get("exact_answer")
    return str(answer[0] if isinstance(answer, list) and len(answer) == 1 else answer).strip().lower()
