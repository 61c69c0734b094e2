"""Data of the tagged-words and relation tasks in the artificial language, in their official layouts.

NER as in BioBERT's archive (word<TAB>label, a blank line after each sentence), GAD as its folds, ChemProt as the
raw tables of BioCreative VI. A function returns {path inside the archive: content} and the counts of its data.
"""

from __future__ import annotations

import random
from typing import Any

from compactbio.miniature.compressed_files import zip_bytes
from compactbio.miniature.language import (
    ASSOCIATED,
    INTERACTION_LEADS,
    INTERACTIONS,
    NOT_ASSOCIATED,
    OTHER_INTERACTIONS,
    UNRELATED,
    Sentence,
    fill,
    pick_names,
    random_sentence,
)
from compactbio.miniature.vocabulary import Lexicon, Name

# a share of the labels is wrong, as in data annotated by a program, so that no model reaches 1
WRONG_LABELS = 0.06

Files = dict[str, bytes]
Counts = dict[str, Any]


def pool_of(lexicon: Lexicon, split: str) -> dict[str, list[Name]]:
    """Return the names that a split may use: familiar ones in training data, more of the held-out ones in others."""
    if split == "train":
        return lexicon.familiar
    return {kind: lexicon.familiar[kind][::2] + lexicon.held_out[kind] for kind in lexicon.familiar}


def make_tagged_words(lexicon: Lexicon, seed: int, sentences: dict[str, int], folder: str) -> tuple[Files, Counts]:
    """Return the files of a disease NER set: train, devel, test and train_dev (train and devel joined).

    `sentences` says how many each split has, `folder` is the path inside the archive.
    """
    generator = random.Random(f"{seed}:ner")
    files: Files = {}
    counts: Counts = {}
    for split, file in (("train", "train.tsv"), ("validation", "devel.tsv"), ("test", "test.tsv")):
        pool = pool_of(lexicon, split)
        drawn = [random_sentence(lexicon, pool, generator) for _ in range(sentences[split])]
        files[f"{folder}/{file}"] = "".join(_tagged(sentence) for sentence in drawn).encode()
        entities = sum(mention.slot[0] == "D" for sentence in drawn for mention in sentence.mentions)
        counts[split] = {"sentences": len(drawn), "entities": entities}
    files[f"{folder}/train_dev.tsv"] = files[f"{folder}/train.tsv"] + files[f"{folder}/devel.tsv"]
    return files, counts


def _tagged(sentence: Sentence) -> str:
    """Return the lines of a sentence, its diseases marked B and I."""
    labels = ["O"] * len(sentence.words)
    for mention in sentence.mentions:
        if mention.slot[0] == "D":
            labels[mention.first : mention.last] = ["B"] + ["I"] * (mention.last - mention.first - 1)
    return "".join(f"{word}\t{label}\n" for word, label in zip(sentence.words, labels, strict=True)) + "\n"


def make_gad(lexicon: Lexicon, seed: int, rows: int, folds: int, folder: str) -> tuple[Files, Counts]:
    """Return the files of a gene-disease relation set with the names masked: `folds` test sets of disjoint rows.

    As in the archive: train.tsv has two columns and no header, test.tsv has an index and a header, dev.tsv is empty.
    """
    generator = random.Random(f"{seed}:gad")
    test_rows = rows // 5
    examples = [_gad_example(lexicon, generator) for _ in range(rows)]
    files: Files = {}
    counts: Counts = {"train": {"rows": rows - test_rows}, "test": {"rows": test_rows}}
    for fold in range(folds):
        test = examples[fold * test_rows : (fold + 1) * test_rows]
        train = examples[: fold * test_rows] + examples[(fold + 1) * test_rows :]
        lines = ["index\tsentence\tlabel", *(f"{i}\t{text}\t{label}" for i, (text, label) in enumerate(test))]
        files[f"{folder}/{fold + 1}/train.tsv"] = "".join(f"{text}\t{label}\n" for text, label in train).encode()
        files[f"{folder}/{fold + 1}/test.tsv"] = ("\n".join(lines) + "\n").encode()
        files[f"{folder}/{fold + 1}/dev.tsv"] = b""
    return files, counts


def _gad_example(lexicon: Lexicon, generator: random.Random) -> tuple[str, str]:
    """Return one sentence about a masked gene and a masked disease, and whether they are associated."""
    associated = generator.random() < 0.52
    template = generator.choice(ASSOCIATED if associated else NOT_ASSOCIATED)
    if generator.random() < 0.3:
        # a second clause about another gene, as often of the other class
        clause = generator.choice(("whereas {G2} is not", "whereas {G2} is a risk factor", "and so is {G2}"))
        template = template.removesuffix(" .") + f" , {clause} ."
    names = pick_names(template, {kind: lexicon.names(kind) for kind in lexicon.familiar}, generator)
    names |= {"G": Name("@GENE$", "gene"), "D": Name("@DISEASE$", "disease")}
    if generator.random() < WRONG_LABELS:
        associated = not associated
    return fill(template, names, generator).text, str(int(associated))


def make_chemprot(lexicon: Lexicon, seed: int, abstracts: dict[str, int]) -> tuple[Files, Counts]:
    """Return the nested archives of the raw tables, and the counts of abstracts and evaluated relations.

    As BioCreative VI publishes it: ChemProt_Corpus.zip contains a zip of each part, the test files end in `_gs`.
    Character offsets are those of title, one separating character, abstract.
    """
    generator = random.Random(f"{seed}:chemprot")
    files: Files = {}
    counts: Counts = {}
    parts = {"train": ("training", ""), "validation": ("development", ""), "test": ("test", "_gs")}
    next_id = 10_000_001
    for split, (part, suffix) in parts.items():
        pool, stem = pool_of(lexicon, split), f"chemprot_{part}"
        tables: dict[str, list[str]] = {"abstracts": [], "entities": [], "relations": [], "gold_standard": []}
        for pmid in range(next_id, next_id + abstracts[split]):
            _add_abstract(tables, pmid, pool, generator)
        next_id += abstracts[split]
        inside = {
            f"{stem}{suffix}/{stem}_{table}{suffix if table != 'gold_standard' else ''}.tsv": "".join(lines).encode()
            for table, lines in tables.items()
        }
        files[f"ChemProt_Corpus/{stem}{suffix}.zip"] = zip_bytes(inside)
        counts[split] = {"abstracts": abstracts[split], "relations": len(tables["gold_standard"])}
    return files, counts


def _add_abstract(
    tables: dict[str, list[str]], pmid: int, pool: dict[str, list[Name]], generator: random.Random
) -> None:
    """Add the lines of one abstract, a title and three sentences, to the four tables."""
    texts: list[str] = []
    entities = start = 0
    for _ in range(4):
        sentence, related = _chemprot_sentence(pool, generator)
        number = {}
        for mention in sentence.mentions:
            kind = "CHEMICAL" if mention.slot[0] == "C" else generator.choice(("GENE-Y", "GENE-Y", "GENE-N"))
            entities += 1
            number[mention.slot] = f"T{entities}"
            place = f"{start + mention.start}\t{start + mention.end}"
            text = sentence.text[mention.start : mention.end]
            tables["entities"].append(f"{pmid}\tT{entities}\t{kind}\t{place}\t{text}\n")
        for group, name, chemical, gene in related:
            evaluated = group in INTERACTIONS
            arguments = f"Arg1:{number[chemical]}\tArg2:{number[gene]}\n"
            tables["relations"].append(f"{pmid}\t{group}\t{'Y' if evaluated else 'N'} \t{name}\t{arguments}")
            if evaluated:
                tables["gold_standard"].append(f"{pmid}\t{group}\t{arguments}")
        texts.append(sentence.text)
        start += len(sentence.text) + 1
    tables["abstracts"].append(f"{pmid}\t{texts[0]}\t{' '.join(texts[1:])}\n")


def _chemprot_sentence(
    pool: dict[str, list[Name]], generator: random.Random
) -> tuple[Sentence, list[tuple[str, str, str, str]]]:
    """Return a sentence of one or two clauses, and its relations as (class, name, chemical slot, gene slot)."""
    if generator.random() < 0.1:
        template = generator.choice(UNRELATED) + " ."
        return fill(template, pick_names(template, pool, generator), generator), []
    clauses = []
    relations = []
    for number in ("", "2")[: 2 if generator.random() < 0.12 else 1]:
        classes = INTERACTIONS if generator.random() < 0.92 else OTHER_INTERACTIONS
        group = generator.choice(list(classes))
        name, clause = generator.choice(classes[group])
        clauses.append(clause.replace("{C}", f"{{C{number}}}").replace("{G}", f"{{G{number}}}"))
        relations.append((group, name, f"C{number}", f"G{number}"))
    lead = generator.choice(INTERACTION_LEADS) if generator.random() < 0.3 else ""
    template = lead + " , whereas ".join(clauses) + " ."
    return fill(template, pick_names(template, pool, generator), generator), relations
