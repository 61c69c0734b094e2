"""Data of the tasks that read whole texts, in the artificial language: classes of pairs, sets of labels, similarities.

In the forms of PubMedQA, of Hallmarks of Cancer and of BIOSSES as BLURB's script writes it. A function returns {path in
the folder: content} and the counts of its data.
"""

from __future__ import annotations

import json
import random

from compactbio.miniature.benchmark_files import WRONG_LABELS, Counts, Files, pool_of
from compactbio.miniature.language import (
    ASSOCIATED,
    BACKGROUND,
    INTERACTIONS,
    NOT_ASSOCIATED,
    fill,
    pick_names,
)
from compactbio.miniature.vocabulary import Lexicon, Name

UNDECIDED = (
    "Whether {G} plays a role in {D} remains unclear .",
    "The evidence on {G} in {D} is conflicting .",
    "{G} may or may not contribute to {D} , and larger studies are needed .",
)
ANSWERS = {"yes": ASSOCIATED, "no": NOT_ASSOCIATED, "maybe": UNDECIDED}
# label -> templates; deeper levels of a label are there to be cut off
TOPICS = {
    "Genetic risk--Association": ASSOCIATED,
    "Raising a gene's activity--Direct": tuple(f"{text} ." for _, text in INTERACTIONS["CPR:3"]),
    "Lowering a gene's activity--Direct": tuple(f"{text} ." for _, text in INTERACTIONS["CPR:4"]),
}
# what the second sentence of a pair is beside the first, an association -> how alike the two are
LIKENESS = {"same": 4.0, "opposite": 2.5, "gene": 1.5, "other": 0.0}


def make_pubmedqa(lexicon: Lexicon, seed: int, questions: dict[str, int]) -> tuple[Files, Counts]:
    """Return PubMedQA's two files: questions with contexts and decisions, and which of them are test data."""
    generator = random.Random(f"{seed}:pubmedqa")
    rows, decisions = {}, {}
    pmid = 20_000_001
    for split, count in questions.items():
        for _ in range(count):
            answer = generator.choices(list(ANSWERS), weights=(5, 3, 2))[0]
            names = pick_names("{G} {D}", pool_of(lexicon, split), generator)
            contexts = [fill(generator.choice(ANSWERS[answer]), names, generator).text, _background(lexicon, generator)]
            generator.shuffle(contexts)
            if generator.random() < WRONG_LABELS:
                answer = generator.choice(list(ANSWERS))
            rows[str(pmid)] = {
                "QUESTION": f"Is {names['G'].text} associated with {names['D'].text}?",
                "CONTEXTS": contexts,
                "LABELS": ["METHODS", "RESULTS"],
                "MESHES": ["Humans"],
                "YEAR": "2015",
                "reasoning_required_pred": answer,
                "reasoning_free_pred": answer,
                "final_decision": answer,
                "LONG_ANSWER": contexts[-1],
            }
            if split == "test":
                decisions[str(pmid)] = answer
            pmid += 1
    files = {"ori_pqal.json": rows, "test_ground_truth.json": decisions}
    counts = {split: {"rows": count} for split, count in questions.items()}
    return {name: f"{json.dumps(content, indent=1)}\n".encode() for name, content in files.items()}, counts


def make_hallmarks(lexicon: Lexicon, seed: int, documents: dict[str, int]) -> tuple[Files, Counts]:
    """Return folders text and labels, a file of each a document, and lists of the documents of each split."""
    generator = random.Random(f"{seed}:hallmarks")
    files: Files = {}
    counts: Counts = {}
    pmid = 21_000_001
    for split, count in documents.items():
        names = [str(pmid + number) for number in range(count)]
        pmid += count
        rows = 0
        for name in names:
            sentences = [_labelled(lexicon, split, generator) for _ in range(generator.randint(2, 4))]
            rows += len(sentences)
            files[f"text/{name}.txt"] = "".join(f"{text}\n" for text, _ in sentences).encode()
            marks = (" AND".join(labels) or " NULL " for _, labels in sentences)
            files[f"labels/{name}.txt"] = "".join(f"<{mark}" for mark in marks).encode()
        files[f"{split}.txt"] = "".join(f"{name}\n" for name in names).encode()
        counts[split] = {"documents": count, "rows": rows}
    return files, counts


def _labelled(lexicon: Lexicon, split: str, generator: random.Random) -> tuple[str, list[str]]:
    """Return a line of one or two clauses and the labels of both, or background without any."""
    if generator.random() < 0.3:
        return _background(lexicon, generator), []
    labels = generator.sample(list(TOPICS), generator.choice((1, 1, 2)))
    clauses = []
    for label in labels:
        template = generator.choice(TOPICS[label])
        names = pick_names(template, pool_of(lexicon, split), generator)
        clauses.append(fill(template, names, generator).text)
    return ", and ".join(clause.removesuffix(".") for clause in clauses) + ".", labels


def make_similarities(lexicon: Lexicon, seed: int, pairs: dict[str, int]) -> tuple[Files, Counts]:
    """Return tables of two sentences and how alike they are, 0 to 4, as several annotators on average would say."""
    generator = random.Random(f"{seed}:similarities")
    files: Files = {}
    for split, file in (("train", "train.tsv"), ("validation", "dev.tsv"), ("test", "test.tsv")):
        lines = ["index\tsentence1\tsentence2\tscore"]
        for number in range(pairs[split]):
            first, second, score = _pair(lexicon, pool_of(lexicon, split), generator)
            lines.append(f"{number}\t{first}\t{second}\t{score:.1f}")
        files[file] = ("\n".join(lines) + "\n").encode()
    return files, {split: {"rows": count} for split, count in pairs.items()}


def _pair(lexicon: Lexicon, pool: dict[str, list[Name]], generator: random.Random) -> tuple[str, str, float]:
    """Return an association, another sentence and how alike the two are."""
    kind = generator.choice(list(LIKENESS))
    first, second = generator.sample(ASSOCIATED, 2)
    names = pick_names("{G} {D} {C}", pool, generator)
    other = {
        "same": second,
        "opposite": generator.choice(NOT_ASSOCIATED),
        "gene": f"{generator.choice(INTERACTIONS['CPR:4'])[1]} .",
    }
    texts = [fill(template, names, generator).text for template in (first, other.get(kind, ""))[: 1 + (kind in other)]]
    score = min(4.0, max(0.0, LIKENESS[kind] + generator.choice((-0.4, -0.2, 0.0, 0.0, 0.2, 0.4))))
    return texts[0], texts[1] if kind in other else _background(lexicon, generator), score


def _background(lexicon: Lexicon, generator: random.Random) -> str:
    """Return a sentence that states nothing of a gene and a disease."""
    template = generator.choice(BACKGROUND)
    return fill(template, pick_names(template, lexicon.familiar, generator), generator).text
