"""ChemProt: every pair of a sentence is an example, every relation is accounted for."""

from pathlib import Path

import pytest
from helpers.tasks import CHEMPROT, EVALUATED, chemprot_files, write, write_chemprot

from compactbio.errors import UserError
from compactbio.tasks.chemprot import Mention, mask_pair, read_dataset
from compactbio.tasks.prepared import parse_definition


def test_the_examples_of_one_abstract(tmp_path: Path) -> None:
    prepared = read_dataset(parse_definition("x", CHEMPROT, write_chemprot(tmp_path)))
    train = prepared.splits["train"]
    named = list(zip(train["sentence"], (EVALUATED[label] for label in train["label"]), strict=True))
    assert named == [
        ("@CHEMICAL$ acts on @GENE$ and COX-2.", "CPR:4"),  # of its two classes the first in label order
        ("@CHEMICAL$ acts on COX-1 and @GENE$.", "false"),
        ("The @CHEM-GENE$ binds p53 at 4 nM (i.p.).", "false"),
        ("The @CHEMICAL$ receptor binds @GENE$ at 4 nM (i.p.).", "false"),  # CPR:2 is not evaluated
    ]
    assert train["id"] == [0, 1, 2, 3]
    assert train["fold"] == [0, 0, 0, 0]


def test_every_relation_is_accounted_for(tmp_path: Path) -> None:
    counts = read_dataset(parse_definition("x", CHEMPROT, write_chemprot(tmp_path))).counts["test"]
    assert counts["abstracts"] == 1
    assert counts["relations"] == 4
    assert counts["relations_repeated"] == 1
    assert counts["relations_of_another_class"] == 1
    assert counts["relations_across_sentences"] == 1
    assert counts["relations_not_evaluated"] == counts["false_with_relation_not_evaluated"] == 1
    assert counts["overlapping_pairs"] == 1
    assert counts["overlapping_pairs_related"] == 0
    assert counts["labels"] == {"false": 3, "CPR:3": 0, "CPR:4": 1, "CPR:5": 0, "CPR:6": 0, "CPR:9": 0}
    assert counts["rows"] == 4
    assert counts["sentences"] == 2
    assert counts["abstracts_also_in_train"] == 1  # the helper writes one abstract to all splits


def test_labels_decide_what_is_evaluated(tmp_path: Path) -> None:
    definition = {**CHEMPROT, "labels": ["false", "CPR:2", "CPR:9"]}
    counts = read_dataset(parse_definition("x", definition, write_chemprot(tmp_path))).counts["train"]
    assert counts["labels"] == {"false": 2, "CPR:2": 1, "CPR:9": 1}
    with pytest.raises(UserError, match=r"datasets\.x\.labels must hold 'false'"):
        read_dataset(parse_definition("x", {**CHEMPROT, "labels": ["CPR:3", "CPR:4"]}, tmp_path))


@pytest.mark.parametrize(
    ("chemical", "gene", "masked"),
    [
        ((0, 3), (4, 7), "@CHEMICAL$ @GENE$ ghi"),
        ((8, 11), (0, 3), "@GENE$ def @CHEMICAL$"),
        ((0, 7), (4, 11), "@CHEM-GENE$"),
        ((4, 7), (4, 7), "abc @CHEM-GENE$ ghi"),
        ((4, 5), (5, 7), "abc @CHEMICAL$@GENE$ ghi"),
        ((5, 7), (4, 5), "abc @GENE$@CHEMICAL$ ghi"),
    ],
)
def test_masking(chemical: tuple, gene: tuple, masked: str) -> None:
    text = "abc def ghi"
    assert mask_pair(text, (0, 11), Mention(*chemical, "T1", True), Mention(*gene, "T2", False)) == masked


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("entities", "\t0\t7\t", "\t1\t8\t", r"line 1: characters 1 to 8 of document 1 are 'spirin ', not 'Aspirin'"),
        ("entities", "GENE-N", "PROTEIN", "line 4: unknown type 'PROTEIN'"),
        ("entities", "T2", "T1", "line 2: T1 occurs twice in document 1"),
        ("entities", "1\tT1", "2\tT1", "line 1: document 2 is not in the abstracts"),
        ("relations", "Arg2:T3", "Arg2:T99", "line 1: T99 of document 1 is not in the entities"),
        ("relations", "Arg1:T1", "Arg1:T4", "Arg1 must be a chemical"),
        ("abstracts", "\tThe", " The", "line 1: 2 cells where 3 are expected"),
        ("gold_standard", "CPR:4", "CPR:3", "disagree on 2 evaluated relations"),
    ],
)
def test_inconsistent_tables_are_refused(tmp_path: Path, table: str, old: str, new: str, message: str) -> None:
    root = write_chemprot(tmp_path)
    name = f"chemprot_training_{table}.tsv"
    write(root / "chemprot" / name, chemprot_files()[name].replace(old, new))
    with pytest.raises(UserError, match=message):
        read_dataset(parse_definition("x", CHEMPROT, root))


def test_a_document_twice_is_refused(tmp_path: Path) -> None:
    root = write_chemprot(tmp_path)
    name = "chemprot_training_abstracts.tsv"
    write(root / "chemprot" / name, chemprot_files()[name] * 2)
    with pytest.raises(UserError, match="line 2: document 1 occurs twice"):
        read_dataset(parse_definition("x", CHEMPROT, root))
