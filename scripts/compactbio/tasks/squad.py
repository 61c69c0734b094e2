"""Extractive question answering: files in SQuAD's form, and the golden file of the BioASQ challenge."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.tasks.prepared import Columns, Counts, Definition, Prepared
from compactbio.tasks.rows import GOLDEN_COPY
from compactbio.tasks.texts import read_json_text

_SHOWN_MISMATCHES = 3
_SHAPE = "SQuAD's form: data > paragraphs > context and qas > id, question, answers > text and answer_start"


def read_bioasq(definition: Definition) -> Prepared:
    """Return BioASQ in the SQuAD form of BioBERT's archive, with the golden answers of the challenge.

    A row is one snippet of a question; its id is the question's id, an underscore and a number. Test rows carry
    no answers there: they stand in the golden file alone.

    Raises:
        UserError: a file is malformed, or a test question is not a factoid question of the golden file.
    """
    splits, counts, inputs = _read_splits(definition, snippets=True)
    path = definition.file("golden")
    questions = read_questions(path)
    golden = [
        {"question_id": question["id"], "answers": _golden_answers(question, path)}
        for question in questions
        if question["type"] == "factoid"
    ]
    known = {entry["question_id"] for entry in golden}
    asked = dict.fromkeys(splits["test"]["question_id"])
    missing = [identifier for identifier in asked if identifier not in known]
    if missing:
        raise UserError(
            f"{definition.file('test')} asks {len(missing)} questions that are no factoid questions of {path}, "
            f"for example {missing[0]}: take both files from the same challenge"
        )
    types = Counter(question["type"] for question in questions)
    counts["golden"] = {
        "questions": len(questions),
        **dict(sorted(types.items())),
        "factoid_without_snippet": len(known - set(asked)),
        "answer_in_context": _count_answerable(splits["test"], golden),
    }
    return Prepared(splits, counts, [*inputs, path], golden, {GOLDEN_COPY: path})


def read_squad(definition: Definition) -> Prepared:
    """Return a data set of a user's own in SQuAD's form; the test file's answers are the golden ones.

    Every row is a question of its own. In train and validation rows without an answer are left out and counted,
    in test they are refused: predictions for them could not be scored.
    """
    splits, counts, inputs = _read_splits(definition, snippets=False)
    test = splits["test"]
    unanswered = [row for row, answers in zip(test["id"], test["answers"], strict=True) if not answers["text"]]
    if unanswered:
        raise UserError(
            f"{definition.file('test')}: {len(unanswered)} questions have no answer, for example id "
            f"{unanswered[0]}: add their answers or remove them"
        )
    golden = [
        {"question_id": row, "answers": [list(dict.fromkeys(answers["text"]))]}
        for row, answers in zip(test["question_id"], test["answers"], strict=True)
    ]
    counts["golden"] = {
        "questions": len(golden),
        "factoid": len(golden),
        "answer_in_context": _count_answerable(test, golden),
    }
    return Prepared(splits, counts, inputs, golden)


def _read_splits(definition: Definition, *, snippets: bool) -> tuple[dict[str, Columns], dict[str, Counts], list[Path]]:
    """Return the columns and counts of every split, and their files."""
    splits, counts, files = {}, {}, definition.split_files()
    for split, path in files.items():
        splits[split], counts[split] = read_split(path, snippets=snippets, keep_unanswered=split == "test")
    return splits, counts, list(files.values())


def read_split(path: Path, *, snippets: bool, keep_unanswered: bool) -> tuple[Columns, Counts]:
    """Return columns (id, question_id, snippet, question, context, answers) and counts of one file.

    With `snippets`, rows are snippets of questions, ids of the form <question>_<number> (BioASQ).
    """
    names = ("id", "question_id", "snippet", "question", "context", "answers")
    columns: Columns = {name: [] for name in names}
    rank: Counter[str] = Counter()
    seen: set[str] = set()
    unanswered = 0
    for row, question, context, answers in _rows(path):
        if row in seen:
            raise UserError(f"{path}: id {row} occurs twice: give every row an id of its own")
        seen.add(row)
        question_id = row.rpartition("_")[0] if snippets else row
        if not question_id:
            raise UserError(f"{path}: id {row!r} is not <question>_<number>, as layout bioasq needs it")
        if not answers["text"]:
            unanswered += 1
            if not keep_unanswered:
                continue
        for name, value in zip(names, (row, question_id, rank[question_id], question, context, answers), strict=True):
            columns[name].append(value)
        rank[question_id] += 1
    if not columns["id"]:
        raise UserError(f"{path} holds no question{' with an answer' if seen else ''}")
    counts = {
        "rows": len(columns["id"]),
        "questions": len(rank),
        "answers": sum(len(answers["text"]) for answers in columns["answers"]),
        "rows_without_answer": unanswered,
    }
    return columns, counts


def _rows(path: Path) -> list[tuple[str, str, str, dict[str, list[Any]]]]:
    """Return (id, question, context, answers) of each row, in file order; every answer stands where it says.

    Raises:
        UserError: the file has another form, a text is empty, or an answer is not in the context at answer_start.
    """
    rows = []
    mismatches = []
    try:
        for article in read_json_text(path)["data"]:
            for paragraph in article["paragraphs"]:
                context = paragraph["context"]
                for entry in paragraph["qas"]:
                    given = entry.get("answers") or []
                    answers = {key: [answer[key] for answer in given] for key in ("text", "answer_start")}
                    rows.append((entry["id"], entry["question"], context, answers))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not in {_SHAPE}; row {len(rows) + 1}: {error!r}") from None
    for number, (row, question, context, answers) in enumerate(rows, start=1):
        if not all(isinstance(text, str) and text.strip() for text in (row, question, context, *answers["text"])):
            raise UserError(
                f"{path}, row {number} (id {row!r}): id, question, context and answers must be texts, not empty"
            )
        if not all(type(start) is int for start in answers["answer_start"]):
            raise UserError(f"{path}, row {number} (id {row!r}): answer_start must be a whole number")
        for text, start in zip(answers["text"], answers["answer_start"], strict=True):
            if start < 0 or not context.startswith(text, start):
                found = context[max(start, 0) :][: len(text)]
                mismatches.append(f"id {row}: {text!r} at {start}, where the context has {found!r}")
    if mismatches:
        raise UserError(
            f"{path}: {len(mismatches)} answers do not stand in their context at answer_start "
            f"(counted in characters from 0): {'; '.join(mismatches[:_SHOWN_MISMATCHES])}"
        )
    return rows


def read_questions(path: Path) -> list[dict[str, Any]]:
    """Return the questions of a BioASQ file, golden or of training.

    Raises:
        UserError: the file has another form, or a question lacks its id or type or shares its id.
    """
    value = read_json_text(path)
    questions = value.get("questions") if isinstance(value, dict) else None
    if not isinstance(questions, list) or not questions:
        raise UserError(f"{path} is not a BioASQ file of questions: it must be an object with a list 'questions'")
    seen: set[str] = set()
    for number, question in enumerate(questions, start=1):
        where = f"{path}, question {number}"
        if not isinstance(question, dict) or not question.get("id") or not question.get("type"):
            raise UserError(f"{where}: id or type is missing")
        if question["id"] in seen:
            raise UserError(f"{where}: id {question['id']} occurs twice")
        seen.add(question["id"])
    return questions


def _golden_answers(question: dict[str, Any], path: Path) -> list[list[str]]:
    """Return a factoid question's answers, each a list of synonyms; a flat list is one answer's synonyms."""
    answers = question.get("exact_answer")
    if isinstance(answers, list) and any(answers):
        lists = [answers] if all(isinstance(answer, str) for answer in answers) else answers
        if all(isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in lists):
            return lists
    raise UserError(f"{path}: the factoid question {question['id']} has no exact_answer to score against")


def _count_answerable(test: Columns, golden: list[dict[str, Any]]) -> int:
    """Return how many questions have a golden answer in one of their contexts, letter case apart.

    It bounds what any extractive model can reach.
    """
    contexts: dict[str, list[str]] = defaultdict(list)
    for question_id, context in zip(test["question_id"], test["context"], strict=True):
        contexts[question_id].append(context.lower())
    return sum(
        any(
            synonym.lower() in context
            for context in contexts[entry["question_id"]]
            for answer in entry["answers"]
            for synonym in answer
        )
        for entry in golden
    )
