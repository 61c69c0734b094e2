"""Hallmarks of Cancer: first levels of labels, documents split by a seed or by lists; sets of labels of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.tasks import write

from compactbio.errors import UserError
from compactbio.kinds import KINDS
from compactbio.settings.datasets import data_faults
from compactbio.tasks.hallmarks import read_dataset
from compactbio.tasks.prepare import prepare_dataset
from compactbio.tasks.prepared import parse_definition
from compactbio.tasks.records import read_dataset as read_records

HALLMARKS: dict[str, Any] = {
    "task": "multilabel",
    "layout": "hallmarks",
    "folder": "hoc",
    "labels": ["Death", "Growth"],
    "split_seed": 1,
}
LABELS = "< NULL <Growth--Receptors ANDGrowth--Factors--Down ANDDeath--< "


def corpus(root: Path, documents: int = 10) -> Path:
    for number in range(documents):
        write(root / "hoc" / "text" / f"{number}.txt", f"First {number} .\nSecond .\nThird .\n")
        write(root / "hoc" / "labels" / f"{number}.txt", LABELS)
    return root


def test_labels_are_the_first_levels_once_a_sentence(tmp_path: Path) -> None:
    prepared = read_dataset(parse_definition("x", HALLMARKS, corpus(tmp_path)))
    test = prepared.splits["test"]
    assert test["labels"] == [[], [1, 0], []] * 2
    assert test["text"][:3] == [f"First {test['document'][0]} .", "Second .", "Third ."]
    assert prepared.counts["test"] == {"rows": 6, "labels": {"Death": 2, "Growth": 2}, "documents": 2, "unlabelled": 4}


def test_a_seed_draws_documents_whole_and_is_recorded(tmp_path: Path) -> None:
    drawn = []
    for seed in (1, 1, 2):
        manifest = prepare_dataset("x", {**HALLMARKS, "split_seed": seed}, corpus(tmp_path), tmp_path / "out")
        assert manifest["split"] == {"seed": seed, "documents": {"train": 7, "validation": 1, "test": 2}}
        splits = read_dataset(parse_definition("x", {**HALLMARKS, "split_seed": seed}, tmp_path)).splits
        parts = [set(columns["document"]) for columns in splits.values()]
        assert len(set.union(*parts)) == sum(map(len, parts)) == 10
        drawn.append(parts)
    assert drawn[0] == drawn[1] != drawn[2]


def test_lists_of_pmids_split_instead(tmp_path: Path) -> None:
    files = {"train": str(write(tmp_path / "mine.txt", "3.txt,1.txt\n")), "test": "test.txt"}
    write(tmp_path / "hoc" / "test.txt", "2\n")
    definition = {**HALLMARKS, "files": files, "split_seed": None}
    manifest = prepare_dataset("x", definition, corpus(tmp_path), tmp_path / "out")
    assert manifest["split"] == {"seed": None, "documents": {"train": 2, "test": 1}}
    assert {files["train"], "test.txt", "labels/3.txt"} <= set(manifest["inputs"])
    for text, message in (
        ("2\n12\n", "no document has the PMID 12"),
        ("2\n3\n", r"PMID 3 stands in .*files more than"),
    ):
        write(tmp_path / "hoc" / "test.txt", text)
        with pytest.raises(UserError, match=message):
            read_dataset(parse_definition("x", definition, tmp_path))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("< < ", r"labels of 2 sentences, but .*0\.txt has 3"),
        ("Growth< < ", r"labels of 2 sentences"),
        ("< <Other--x< ", r"labels/0\.txt, sentence 2: unknown label 'Other'; known are Death, Growth"),
    ],
)
def test_faults_name_the_file(tmp_path: Path, labels: str, message: str) -> None:
    write(corpus(tmp_path) / "hoc" / "labels" / "0.txt", labels)
    with pytest.raises(UserError, match=message):
        read_dataset(parse_definition("x", HALLMARKS, tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": {"train": "a", "test": "b"}}, "x: give either split_seed"),
        ({"split_seed": None}, "x: give either split_seed"),
        ({"split_seed": None, "files": {"train": "a"}}, "x.files: train and test are needed"),
        ({"layout": "table", "files": {"train": "a", "test": "b"}}, "x.split_seed: not known to the layout table"),
        ({"labels": ["a;b", "c"]}, "x.labels: a;b: a label has no ;"),
        ({"labels": [str(number) for number in range(64)]}, "x.labels: 64 labels; at most 63"),
    ],
)
def test_definitions_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    assert next(data_faults("x", KINDS["multilabel"], {**HALLMARKS, **change})).startswith(message)


def test_a_cell_holds_labels_or_none_and_json_a_list(tmp_path: Path) -> None:
    names = {"train": "train.tsv", "test": "test.tsv"}
    definition = {**HALLMARKS, "layout": "table", "split_seed": None, "files": names}
    for name in names.values():
        write(tmp_path / "hoc" / name, "text\tlabels\nOne\tGrowth;Death\nTwo\t\n")
    assert read_records(parse_definition("x", definition, tmp_path)).splits["train"]["labels"] == [[1, 0], []]
    definition["layout"] = "json_lines"
    for name in names.values():
        write(tmp_path / "hoc" / name, '{"text": "One", "labels": ["Growth"]}\n')
    assert read_records(parse_definition("x", definition, tmp_path)).splits["test"]["labels"] == [[1]]
    write(tmp_path / "hoc" / "test.tsv", '{"text": "One", "labels": 5}\n')
    with pytest.raises(UserError, match="line 1: labels is 5, a list of labels is needed"):
        read_records(parse_definition("x", definition, tmp_path))
