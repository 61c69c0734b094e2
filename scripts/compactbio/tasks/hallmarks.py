"""Hallmarks of Cancer: abstracts with any number of labels a sentence, by the first level of each label.

text/PMID.txt has a sentence a line, labels/PMID.txt one `<` before the labels of each sentence, which ` AND` joins;
levels stand between `--`, and NULL is no label.

Documents are split by lists of PMIDs (`files`), or drawn by sha256 of (split_seed, PMID): a fifth for test and a tenth
for validation, rounded up (371 and 186 of 1,852, the sizes that BLURB has; its own split is another one).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from compactbio.errors import UserError
from compactbio.tasks.prepared import Definition, Prepared
from compactbio.tasks.records import TEXT, Rows, prepared
from compactbio.tasks.texts import describe_neighbours, read_lines, read_text

NO_LABEL = "NULL"


def read_dataset(definition: Definition) -> Prepared:
    """Return the sentences of all documents of each split.

    Raises:
        UserError: a file is missing, has another number of sentences than its labels, or an unknown label.
    """
    folders = definition.folder / TEXT, definition.folder / "labels"
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder{describe_neighbours(folder)}. Correct {definition.key}.folder")
    documents = sorted(path.stem for path in folders[0].glob("*.txt"))
    lists = definition.split_files()
    seed = definition.split_seed
    listed = {split: _listed(path, documents) for split, path in lists.items()}
    chosen = listed or _drawn(documents, seed)
    times = Counter(chain.from_iterable(chosen.values()))
    if twice := [name for name, count in times.items() if count > 1]:
        raise UserError(f"PMID {twice[0]} stands in {definition.key}.files more than once: correct the lists")
    splits, inputs = {}, list(lists.values())
    for split, names in chosen.items():
        splits[split] = Rows(definition)
        for name in names:
            paths = [folder / f"{name}.txt" for folder in folders]
            inputs += paths
            _append(splits[split], name, *paths)
    made = prepared(definition, splits, inputs)
    for split, rows in splits.items():
        made.counts[split]["unlabelled"] = sum(not labels for labels in rows.columns["labels"])
    made.notes["split"] = {"seed": None if lists else seed, "documents": {key: len(one) for key, one in chosen.items()}}
    return made


def _listed(path: Path, documents: Sequence[str]) -> list[str]:
    """Return the PMIDs of a list, a line each or with commas between them, as such or as names of files."""
    cells = (cell.strip().removesuffix(".txt") for line in read_lines(path) for cell in line.split(","))
    names, known = [cell for cell in cells if cell], set(documents)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"{path}: no document has the PMID {unknown[0]} ({len(unknown)} such lines): correct the list")
    return names


def _drawn(documents: Sequence[str], seed: int | None) -> dict[str, list[str]]:
    """Return the documents of each split, drawn by the seed."""
    order = sorted(documents, key=lambda name: hashlib.sha256(f"split {seed} {name}".encode()).digest())
    test, validation = -(-len(order) // 5), -(-len(order) // 10)
    parts = {"train": order[test + validation :], "validation": order[test : test + validation], "test": order[:test]}
    return {split: sorted(names) for split, names in parts.items()}


def _append(rows: Rows, document: str, text: Path, labels: Path) -> None:
    """Append the sentences of a document."""
    sentences = [line for line in read_lines(text) if line.strip()]
    before, *sets = read_text(labels).split("<")
    if before.strip() or len(sets) != len(sentences):
        raise UserError(f"{labels}: labels of {len(sets)} sentences, but {text} has {len(sentences)}: get them again")
    for number, (sentence, found) in enumerate(zip(sentences, sets, strict=True), start=1):
        first = (label.split("--")[0].strip() for label in found.split(" AND"))
        names = list(dict.fromkeys(name for name in first if name not in ("", NO_LABEL)))
        rows.add(sentence.strip(), "", names, document, f"{labels}, sentence {number}")
