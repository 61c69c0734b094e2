"""Question answering in the artificial language, as BioASQ 7b: rows in SQuAD form, and the challenge's golden file.

As in the original, a row is one snippet of one question, its id the question's id, "_" and a number; test rows
have no answers; the golden file also has yes/no, list and summary questions, which the stage must leave out; and
some golden answers are in no snippet.
"""

from __future__ import annotations

import json
import random
from typing import Any

from compactbio.miniature.benchmark_files import Counts, Files, pool_of
from compactbio.miniature.language import ASSOCIATED, BACKGROUND, QUESTIONS, Sentence, fill, pick_names
from compactbio.miniature.vocabulary import Lexicon, Name

UNANSWERABLE_SHARE = 0.1


def make_bioasq(
    lexicon: Lexicon, seed: int, questions: dict[str, int], others: int, folder: str
) -> tuple[Files, Counts]:
    """Return the three files of the set and their counts; `folder` is the path inside the archive.

    `questions` says how many are factoid in train and test, `others` how many of each other kind are golden.
    """
    generator = random.Random(f"{seed}:bioasq")
    train = [_factoid(lexicon, pool_of(lexicon, "train"), generator, answered=True) for _ in range(questions["train"])]
    test = [
        _factoid(lexicon, pool_of(lexicon, "test"), generator, answered=generator.random() > UNANSWERABLE_SHARE)
        for _ in range(questions["test"])
    ]
    golden = [question["golden"] for question in test]
    golden += [_other(lexicon, kind, generator) for kind in ("yesno", "list", "summary") for _ in range(others)]
    generator.shuffle(golden)
    train_rows = [row for question in train for row in question["rows"]]
    test_rows = [row for question in test for row in question["rows"]]
    for row in test_rows:
        row["qas"][0]["answers"] = []
    counts = {
        "train": {"rows": len(train_rows), "questions": len(train)},
        "test": {"rows": len(test_rows), "questions": len(test)},
        "golden": {"questions": len(golden), "factoid": len(test)},
    }
    files = {
        "BioASQ-train-factoid-7b.json": _squad(train_rows),
        "BioASQ-test-factoid-7b.json": _squad(test_rows),
        "7B_golden.json": {"questions": golden},
    }
    as_json = {name: json.dumps(content, indent=2, ensure_ascii=False) for name, content in files.items()}
    return {f"{folder}/{name}": f"{text}\n".encode() for name, text in as_json.items()}, counts


def _factoid(
    lexicon: Lexicon, pool: dict[str, list[Name]], generator: random.Random, *, answered: bool
) -> dict[str, Any]:
    """Return a question: its rows in SQuAD form and its entry of the golden file."""
    slot = generator.choice("GCD")
    disease = generator.choice(pool["disease"])
    names = {"D": disease, "G": lexicon.causes[disease.text], "C": lexicon.treatments[disease.text]}
    question, _ = generator.choice(QUESTIONS[slot])
    body = fill(question, names, generator).text
    identity = f"{generator.getrandbits(96):024x}"
    snippets = []
    for _ in range(generator.choice((1, 2, 2, 3))):
        sentence = fill(generator.choice(QUESTIONS[slot])[1], names, generator)
        snippets.append(_with_context(sentence, slot, lexicon, generator))
    rows = []
    for number, (context, answer, start) in enumerate(snippets, start=1):
        answers = [{"text": answer, "answer_start": start}]
        rows.append(
            {"qas": [{"id": f"{identity}_{number:03d}", "question": body, "answers": answers}], "context": context}
        )
    right = names[slot] if answered else generator.choice(pool[names[slot].kind])
    golden = _golden(generator, identity, "factoid", body, [context for context, _, _ in snippets])
    golden["exact_answer"] = [[right.text, *right.synonyms]]
    return {"rows": rows, "golden": golden}


def _with_context(sentence: Sentence, slot: str, lexicon: Lexicon, generator: random.Random) -> tuple[str, str, int]:
    """Return a snippet (the sentence, often with another before or after it), its answer and where that starts."""
    mention = sentence.mention(slot)
    # the name as the sentence writes it, with a capital at its beginning
    answer = sentence.text[mention.start : mention.end]
    position = generator.choice(("alone", "before", "after"))
    if position == "alone":
        return sentence.text, answer, mention.start
    template = generator.choice(BACKGROUND[-4:])
    other = fill(template, pick_names(template, lexicon.familiar, generator), generator).text
    if position == "before":
        return f"{other} {sentence.text}", answer, len(other) + 1 + mention.start
    return f"{sentence.text} {other}", answer, mention.start


def _other(lexicon: Lexicon, kind: str, generator: random.Random) -> dict[str, Any]:
    """Return a golden question of another kind than factoid."""
    disease = generator.choice(lexicon.held_out["disease"])
    gene = lexicon.causes[disease.text]
    text = fill(ASSOCIATED[0], {"G": gene, "D": disease}, generator).text
    body = {
        "yesno": f"Is {gene.text} associated with {disease.text}?",
        "list": f"List genes associated with {disease.text}.",
        "summary": f"What is {disease.text}?",
    }[kind]
    golden = _golden(generator, f"{generator.getrandbits(96):024x}", kind, body, [text])
    if kind == "yesno":
        golden["exact_answer"] = "yes"
    elif kind == "list":
        golden["exact_answer"] = [[gene.text, *gene.synonyms], [generator.choice(lexicon.held_out["gene"]).text]]
    return golden


def _golden(generator: random.Random, identity: str, kind: str, body: str, snippets: list[str]) -> dict[str, Any]:
    """Return an entry of the golden file, without its exact answer."""
    documents = [f"http://www.ncbi.nlm.nih.gov/pubmed/{generator.randint(30_000_001, 30_009_999)}" for _ in snippets]
    return {
        "body": body,
        "documents": documents,
        "triples": [],
        "ideal_answer": [snippets[0]],
        "concepts": [],
        "type": kind,
        "id": identity,
        "snippets": [
            {
                "offsetInBeginSection": 0,
                "offsetInEndSection": len(text),
                "text": text,
                "beginSection": "abstract",
                "document": document,
                "endSection": "abstract",
            }
            for document, text in zip(documents, snippets, strict=True)
        ],
    }


def _squad(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return rows in SQuAD form under one title, as the original has it."""
    return {"data": [{"paragraphs": rows, "title": "miniature"}], "version": "miniature"}
