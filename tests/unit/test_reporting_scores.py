"""Score tables and published values: what is read, and what is refused with which message."""

import csv

import pytest
from helpers.reporting import write_rows

from compactbio.errors import UserError
from compactbio.reporting.collected_scores import collect_scores, read_scores
from compactbio.reporting.published import PAPER_DATASETS, PublishedValue, assign, read_published
from compactbio.scoring.score_rows import Score, write_scores

ROW = ("ner", "BC2GM", "A", "seed42", "standard", "f1", "0.5")


def changed(**changes):
    names = ("task", "dataset", "model", "run", "protocol", "metric", "value")
    return tuple(changes.get(name, value) for name, value in zip(names, ROW, strict=True))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (changed(value="nan"), "line 2: value is nan"),
        (changed(value="inf"), "value is inf"),
        (changed(value="1.01"), r"f1 is 1.01, but must be a fraction"),
        (changed(value="-0.1"), r"f1 is -0.1"),
        (changed(value="high"), "'high' is not a number"),
        (changed(task="pos"), "unknown task 'pos'; known are ner, re, qa"),
        (changed(protocol="strict"), "no protocol 'strict'"),
        (changed(task="re", protocol="reference"), "no protocol 'reference'; it has standard"),
        (changed(metric="mrr"), "no metric 'mrr'; it has precision, recall, f1"),
        (changed(run=""), "run is empty"),
        (changed(metric="entities", value="-1"), "at least 0"),
    ],
)
def test_bad_rows_are_refused_with_file_and_line(tmp_path, row, message):
    path = write_rows(tmp_path / "scores.tsv", [row])
    with pytest.raises(UserError, match=message) as caught:
        read_scores(path, Score)
    assert str(path) in str(caught.value)


def test_a_missing_column_and_a_missing_file_are_refused(tmp_path):
    path = write_rows(
        tmp_path / "scores.tsv", [ROW[:-1]], header=("task", "dataset", "model", "run", "protocol", "metric")
    )
    with pytest.raises(UserError, match="no column value"):
        read_scores(path, Score)
    with pytest.raises(UserError, match="does not exist"):
        read_scores(tmp_path / "none.tsv", Score)


def test_counts_may_exceed_one_and_digits_survive(tmp_path):
    rows = [changed(metric="entities", value="6325"), changed(value="0.12345678901234567")]
    scores = read_scores(write_rows(tmp_path / "in.tsv", rows), Score)
    write_scores(tmp_path / "out.tsv", scores, Score)
    assert read_scores(tmp_path / "out.tsv", Score) == scores
    assert [score.value for score in scores] == [6325, 0.12345678901234567]


def test_collecting_refuses_a_number_twice_and_a_dataset_under_two_tasks(tmp_path):
    one = write_rows(tmp_path / "one.tsv", [ROW])
    with pytest.raises(UserError, match="BC2GM / A / seed42 / standard / f1 occurs twice"):
        collect_scores([one, write_rows(tmp_path / "two.tsv", [ROW])], Score)
    with pytest.raises(UserError, match=r"BC2GM is of task ner in .*one\.tsv and of task re"):
        collect_scores([one, write_rows(tmp_path / "two.tsv", [changed(task="re", model="B")])], Score)
    other = write_rows(tmp_path / "two.tsv", [changed(model="B")])
    assert collect_scores([one, other], Score) == [
        Score("ner", "BC2GM", model, "seed42", "standard", "f1", 0.5) for model in ("A", "B")
    ]


# ---- published values

COLUMNS = ("table", "dataset", "model", "metric", "protocol", "value", "confidence", "source")
PUBLISHED = ("ner", "BC2GM", "BioMobileBERT", "f1", "reference", "85.26", "confirmed", "a paper, table 1")


def published(tmp_path, *changes):
    rows = [tuple(change.get(n, v) for n, v in zip(COLUMNS, PUBLISHED, strict=True)) for change in changes]
    return write_rows(tmp_path / "published.tsv", rows, header=COLUMNS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": ""}, "line 2: no source"),
        ({"source": "   "}, "no source"),
        ({"dataset": "BC3GM"}, "unknown dataset 'BC3GM'"),
        ({"metric": "mrr"}, "unknown metric 'mrr'; task ner has"),
        ({"protocol": "strict"}, "unknown protocol 'strict'"),
        ({"model": "BioMobilBERT"}, "unknown model 'BioMobilBERT'"),
        ({"table": "qa"}, "belongs to table ner"),
        ({"confidence": "sure"}, "confidence 'sure'"),
        ({"value": "852.6"}, "not a percentage"),
        ({"value": "nan"}, "not a percentage"),
        ({"value": "85,26"}, "not a number"),
        ({"table": "summary"}, "a row of table summary has dataset all"),
    ],
)
def test_bad_published_rows_are_refused(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        read_published(published(tmp_path, change))


def test_a_second_value_for_a_cell_is_refused_but_unassigned_ones_may_repeat(tmp_path):
    with pytest.raises(UserError, match="line 3: a second value"):
        read_published(published(tmp_path, {}, {"value": "1"}))
    assert len(read_published(published(tmp_path, {"model": ""}, {"model": "", "value": "1"}))) == 2


def test_datasets_and_models_of_the_configuration_are_known_too(tmp_path):
    path = published(tmp_path, {"dataset": "LINNAEUS", "model": "Mine"})
    assert read_published(path, datasets={"LINNAEUS": "ner"}, models=["Mine"])[0].value == 85.26


def test_every_row_is_assigned_to_one_place(tmp_path):
    values = read_published(
        published(
            tmp_path,
            {},
            {"model": ""},
            {"dataset": "JNLPBA"},
            {"model": "DistilBioBERT"},
            {"dataset": "NCBI-disease", "confidence": "unconfirmed"},
        )
    )
    sorted_values = assign(values, models=["BioMobileBERT"], datasets=["BC2GM", "NCBI-disease"])
    assert [value.cell for value in sorted_values.matched] == [("BC2GM", "BioMobileBERT", "reference", "f1")]
    assert len(sorted_values.unassigned) == len(sorted_values.unconfirmed) == 1
    assert len(sorted_values.outside) == 2


def test_only_values_of_the_reference_protocol_are_comparable():
    for table, protocol, comparable in (
        ("ner", "reference", True),
        ("ner", "standard", False),
        ("re", "standard", False),
    ):
        value = PublishedValue(table, "toy", "Small", "f1", protocol, 86.0, "confirmed", "a paper")
        assert value.is_comparable == comparable


def test_the_shipped_table_holds_the_confirmed_values_and_no_others(request):
    path = request.config.rootpath / "config" / "published_values.tsv"
    values = read_published(path)
    unconfirmed = {(v.dataset, v.model, v.metric) for v in values if v.confidence != "confirmed"}
    assert unconfirmed == {("BioASQ-7b", "BioDistilBERT-cased", metric) for metric in ("strict", "lenient", "mrr")}
    reference = {(v.dataset, v.model): v.value for v in values if v.protocol == "reference" and v.table == "ner"}
    assert reference == {
        ("BC2GM", ""): 86.97,
        ("BC2GM", "CompactBioBERT"): 86.71,
        ("BC2GM", "DistilBioBERT"): 86.60,
        ("BC2GM", "BioMobileBERT"): 85.26,
        ("BC5CDR-chem", "DistilBioBERT"): 94.53,
        ("BC5CDR-chem", ""): 94.48,
        ("BC5CDR-chem", "CompactBioBERT"): 94.31,
        ("NCBI-disease", "CompactBioBERT"): 88.67,
        ("NCBI-disease", "DistilBioBERT"): 87.93,
        ("NCBI-disease", ""): 87.61,
    }
    others = {
        (v.dataset, v.model, v.protocol): v.value for v in values if v.protocol != "reference" and v.table == "ner"
    }
    assert others == {
        ("NCBI-disease", "BioBERT-v1.1", "standard"): 89.71,
        ("BC5CDR-chem", "BioBERT-v1.1", "standard"): 93.47,
    }
    assert all("cased or uncased" in v.source for v in values if v.table == "ner" and not v.model)
    with path.open(encoding="utf-8", newline="") as stream:  # any reader of tab-separated text can read it
        assert len(list(csv.DictReader(stream, delimiter="\t"))) == len(values)


def test_the_papers_datasets_are_those_of_the_configuration(request):
    yaml = pytest.importorskip("yaml")
    config = yaml.safe_load((request.config.rootpath / "config" / "config.yaml").read_text(encoding="utf-8"))
    assert {name: config["datasets"][name]["task"] for name in config["run"]["datasets"]} == PAPER_DATASETS
