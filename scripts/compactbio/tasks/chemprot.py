"""ChemProt (BioCreative VI, track 5): from its raw tables to labelled sentences.

The tables give abstracts, mentions of chemicals and genes with character offsets, and relations between two
mentions. The task made from them is the six-class one of the benchmarks BLUE and BLURB, restated here:

* A document's text is title, one tab, abstract: the offsets count so.
* Sentences are found by rule (`sentence_bounds`); one that would cut a mention is joined with the next.
* Every pair of a chemical and a gene mention inside one sentence is an example.
* The pair is labelled with the relation's class if that class is among the configured labels, else `false`;
  so pairs whose only relation has a class that is not evaluated are `false`, and counted.
* A pair with several evaluated classes is one example with the first of them in the order of the labels.
* In the example's text the two mentions are replaced by @CHEMICAL$ and @GENE$, and by the single @CHEM-GENE$
  where they overlap; all other mentions stay as they are.
* A relation across two sentences gives no example. It is counted: scores say nothing about it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from compactbio.errors import UserError
from compactbio.tasks.prepared import Columns, Counts, Definition, Prepared
from compactbio.tasks.sentence_bounds import find_sentences
from compactbio.tasks.sentences import count_labels
from compactbio.tasks.texts import read_rows

NO_RELATION = "false"
CHEMICAL, GENE, BOTH = "@CHEMICAL$", "@GENE$", "@CHEM-GENE$"
Relation = tuple[str, str, str, str]  # document, class, chemical, gene
_STEMS = {"train": "chemprot_training", "validation": "chemprot_development", "test": "chemprot_test"}


@dataclass(frozen=True, order=True)
class Mention:
    """A mention of an entity; offsets are characters of the document's text."""

    start: int
    end: int
    identifier: str
    chemical: bool

    def overlaps(self, other: Mention) -> bool:
        """Return whether two mentions share a character."""
        return self.start < other.end and other.start < self.end


@dataclass
class Tables:
    """The raw tables of one split."""

    texts: dict[str, str]  # document -> title, tab, abstract
    mentions: dict[str, dict[str, Mention]]  # document -> identifier -> mention
    relations: list[Relation]
    paths: list[Path]


def read_dataset(definition: Definition) -> Prepared:
    """Return ChemProt's three splits as labelled sentences.

    Raises:
        UserError: `false` is not among the labels, or a table is missing or inconsistent.
    """
    if NO_RELATION not in definition.labels:
        raise UserError(f"{definition.key}.labels must hold {NO_RELATION!r}, the label of unrelated pairs")
    splits: dict[str, Columns] = {}
    counts: dict[str, Counts] = {}
    inputs: list[Path] = []
    documents: dict[str, set[str]] = {}
    for split, stem in _STEMS.items():
        tables = read_tables(definition.folder, stem, "_gs" if split == "test" else "")
        splits[split], counts[split] = make_examples(tables, definition)
        inputs += tables.paths
        documents[split] = set(tables.texts)
    counts["test"]["abstracts_also_in_train"] = len(documents["test"] & documents["train"])
    return Prepared(splits, counts, inputs)


def read_tables(folder: Path, stem: str, ending: str) -> Tables:
    """Return the tables <stem>_{abstracts,entities,relations}<ending>.tsv, checked against each other.

    <stem>_gold_standard.tsv, the same relations as the challenge scored them, is compared where it exists.

    Raises:
        UserError: offsets that do not fit the text, identifiers given twice or not defined, or relations that
            differ from the gold standard.
    """
    paths = [folder / f"{stem}_{table}{ending}.tsv" for table in ("abstracts", "entities", "relations")]
    texts: dict[str, str] = {}
    for number, (document, title, abstract) in read_rows(paths[0], 3, "document, title and abstract"):
        if document in texts:
            raise UserError(f"{paths[0]}, line {number}: document {document} occurs twice")
        texts[document] = f"{title}\t{abstract}"
    mentions = _read_mentions(paths[1], texts)
    relations, evaluated = _read_relations(paths[2], mentions)
    tables = Tables(texts, mentions, relations, paths)
    gold_path = folder / f"{stem}_gold_standard.tsv"
    if gold_path.is_file():
        _compare_with_gold(gold_path, paths[2], evaluated)
        tables.paths.append(gold_path)
    return tables


def make_examples(tables: Tables, definition: Definition) -> tuple[Columns, Counts]:
    """Return columns (id, fold, sentence, label as id) and counts of one split.

    Of the counts, relations = examples of the evaluated classes + relations_repeated +
    relations_of_another_class + relations_across_sentences.
    """
    known = definition.label_ids
    columns: Columns = {"id": [], "fold": [], "sentence": [], "label": []}
    counts = Counter(dict.fromkeys(definition.layout.counted, 0))
    counts["abstracts"] = len(tables.texts)
    classes: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for document, name, chemical_id, gene_id in tables.relations:
        found = classes[document, chemical_id, gene_id]
        evaluated = name in known and name != NO_RELATION
        counts["relations" if evaluated else "relations_not_evaluated"] += 1
        counts["relations_repeated"] += evaluated and name in found
        found.add(name)

    reached = 0
    for document, text in tables.texts.items():
        mentions = sorted(tables.mentions.get(document, {}).values())
        sentences, joined = find_sentences(text, [(mention.start, mention.end) for mention in mentions])
        counts["sentences"] += len(sentences)
        counts["sentences_joined"] += joined
        for start, end in sentences:
            here = [mention for mention in mentions if start <= mention.start and mention.end <= end]
            chemicals, genes = ([one for one in here if one.chemical == wanted] for wanted in (True, False))
            for chemical, gene in product(chemicals, genes):
                found = classes.get((document, chemical.identifier, gene.identifier), set())
                positive = [label for label in definition.labels if label in found and label != NO_RELATION]
                overlap = chemical.overlaps(gene)
                counts["overlapping_pairs"] += overlap
                counts["overlapping_pairs_related"] += overlap and bool(positive)
                counts["false_with_relation_not_evaluated"] += bool(found) and not positive
                counts["relations_of_another_class"] += max(0, len(positive) - 1)
                reached += len(positive)
                columns["sentence"].append(mask_pair(text, (start, end), chemical, gene))
                columns["label"].append(known[positive[0] if positive else NO_RELATION])
    columns["id"] = list(range(len(columns["label"])))
    columns["fold"] = [0] * len(columns["label"])
    counts["relations_across_sentences"] = counts["relations"] - counts["relations_repeated"] - reached
    return columns, {**counts, **count_labels(columns["label"], definition.labels)}


def mask_pair(text: str, sentence: tuple[int, int], chemical: Mention, gene: Mention) -> str:
    """Return a sentence with a pair's mentions replaced by their markers, white space in it made single."""
    start, end = sentence
    if chemical.overlaps(gene):
        pieces = [(min(chemical.start, gene.start), max(chemical.end, gene.end), BOTH)]
    else:
        pieces = sorted([(chemical.start, chemical.end, CHEMICAL), (gene.start, gene.end, GENE)])
    masked, position = [], start
    for left, right, marker in pieces:
        masked += [text[position:left], marker]
        position = right
    return " ".join("".join([*masked, text[position:end]]).split())


def _read_mentions(path: Path, texts: dict[str, str]) -> dict[str, dict[str, Mention]]:
    """Return document -> identifier -> mention of an entities table."""
    mentions: dict[str, dict[str, Mention]] = defaultdict(dict)
    meaning = "document, identifier, type, start, end and text"
    for number, (document, identifier, kind, start, end, surface) in read_rows(path, 6, meaning):
        where = f"{path}, line {number}"
        if document not in texts:
            raise UserError(f"{where}: document {document} is not in the abstracts table beside it")
        if identifier in mentions[document]:
            raise UserError(f"{where}: {identifier} occurs twice in document {document}")
        if kind != "CHEMICAL" and not kind.startswith("GENE"):
            raise UserError(f"{where}: unknown type {kind!r}; known are CHEMICAL, GENE, GENE-Y and GENE-N")
        if not (start.isdigit() and end.isdigit()):
            raise UserError(f"{where}: offsets must be whole numbers, found {start!r} and {end!r}")
        found = texts[document][int(start) : int(end)]
        if found != surface or not surface:
            raise UserError(
                f"{where}: characters {start} to {end} of document {document} are {found!r}, not {surface!r} "
                "(offsets count characters of title, one tab, abstract)"
            )
        mentions[document][identifier] = Mention(int(start), int(end), identifier, kind == "CHEMICAL")
    return mentions


def _read_relations(path: Path, mentions: dict[str, dict[str, Mention]]) -> tuple[list[Relation], set[Relation]]:
    """Return a relations table's rows as (document, class, chemical, gene), and those marked as evaluated."""
    rows: list[Relation] = []
    evaluated = set()
    meaning = "document, class, Y or N, relation, Arg1:chemical and Arg2:gene"
    for number, (document, name, mark, _, first, second) in read_rows(path, 6, meaning):
        where = f"{path}, line {number}"
        chemical, gene = _argument(first), _argument(second)
        for identifier, is_chemical in ((chemical, True), (gene, False)):
            mention = mentions.get(document, {}).get(identifier)
            if mention is None:
                raise UserError(f"{where}: {identifier} of document {document} is not in the entities table")
            if mention.chemical != is_chemical:
                raise UserError(f"{where}: Arg1 must be a chemical and Arg2 a gene; {identifier} is not")
        row = (document, name, chemical, gene)
        rows.append(row)
        if mark.strip() == "Y":
            evaluated.add(row)
    return rows, evaluated


def _compare_with_gold(path: Path, relations: Path, evaluated: set[Relation]) -> None:
    """Refuse a gold standard that is not the set of evaluated relations."""
    rows = read_rows(path, 4, "document, class, Arg1:chemical and Arg2:gene")
    gold = {(document, name, _argument(first), _argument(second)) for _, (document, name, first, second) in rows}
    if gold != evaluated:
        example = sorted(gold ^ evaluated)[0]
        raise UserError(
            f"{path} and {relations} disagree on {len(gold ^ evaluated)} evaluated relations, for example "
            f"{' '.join(example)}: take both files from the same release"
        )


def _argument(cell: str) -> str:
    """Return the identifier in a cell like Arg1:T12."""
    return re.sub("^Arg[12]:", "", cell).strip()
