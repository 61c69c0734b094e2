"""check_results.py on a full-size synthetic run: sound results pass, and each thing that is wrong is named."""

from __future__ import annotations

import csv
import re
import shutil
import sys
from statistics import fmean

import build_tables
import check_results
import pytest
from helpers.configurations import ROOT
from helpers.reporting import (
    CLASS_HEADER,
    DATASETS,
    MODELS,
    class_rows,
    deployment_file,
    efficiency_file,
    score_rows,
    write_results,
    write_rows,
)

from compactbio.errors import UserError
from compactbio.reporting.statistics.estimates import MEAN, Estimate, write_estimates

SELECTION = ["--models", *MODELS, "--datasets", *(f"{name}:{task}" for name, (task, _) in DATASETS.items())]
SELECTION += ["--published", str(ROOT / "config" / "published_values.tsv")]


def call(monkeypatch, program, *arguments):
    monkeypatch.setattr(sys, "argv", [program.__name__, *map(str, arguments)])
    program.main()


def build(monkeypatch, root, error=5e-5):
    """Build the tables, the mean of one comparison being off by so much from what the scores give."""
    write_estimates(root / "comparisons.tsv", [estimate("DistilBioBERT", error)])
    options = ["--scores", root / "reporting" / "scores.tsv", "--comparisons", root / "comparisons.tsv", *SELECTION]
    options += ["--efficiency", root / "reporting" / "efficiency.json"]
    options += ["--deployment", root / "reporting" / "deployment" / "measurements.json"]
    options += ["--classes", root / "finetuning" / "{model}" / "classes.tsv"]
    call(monkeypatch, build_tables, *options, "--baseline", "BioBERT-v1.1", "--output-dir", root / "tables")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A results folder with scores and tables."""
    root = write_results(tmp_path_factory.mktemp("finished"))
    write_rows(root / "reporting" / "scores.tsv", [row for model in MODELS for row in score_rows(model)])
    efficiency_file(root / "reporting" / "efficiency.json")
    deployment_file(root / "reporting" / "deployment" / "measurements.json")
    with pytest.MonkeyPatch.context() as monkeypatch:
        build(monkeypatch, root)
    return root


@pytest.fixture
def own(finished, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(finished, tmp_path / "own")


def check(monkeypatch, root):
    runs = sorted((root / "finetuning").glob("*/*/run.yaml"))
    options = ["--scores", root / "reporting" / "scores.tsv", "--tables", root / "tables", "--runs", *runs, *SELECTION]
    options += ["--classes", root / "finetuning" / "{model}" / "classes.tsv"]
    call(monkeypatch, check_results, *options, "--output", root / "checks.txt")
    return (root / "checks.txt").read_text(encoding="utf-8")


def estimate(model, error):
    """A mean of compare_models on BC2GM, which is off by so much from what the scores give."""
    rows = (row for row in score_rows(model) if (row[1], *row[4:6]) == ("BC2GM", "reference", "f1"))
    mean = fmean(100 * row[-1] for row in rows) + error
    place = (MEAN, "BC2GM", "reference", "f1", model, "")
    return Estimate(*place, mean, mean - 1, mean + 1, None, None, 3, 0, 5038, 1000)


def change(root, table, wanted, **values):
    """Set cells of the first row of a table that holds the wanted values; return that row."""
    path = root / "tables" / f"{table}.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    row = next(row for row in rows if wanted.items() <= row.items())
    row |= values
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return row


def test_sound_results_pass_and_say_what_was_checked(monkeypatch, own):
    text = check(monkeypatch, own)
    assert text.startswith("All checks passed.")
    assert "12 models x 8 datasets" in text
    assert "9 matched to a cell, 5 unassigned, 3 unconfirmed, 0 of models" in text
    assert text.count("\n  unassigned: ") == 5
    for table in ("ner", "re", "qa", "summary", "replication"):
        assert f"{table} " in text.split("tables: ")[1]


def test_a_lost_score_is_named(monkeypatch, own):
    path = own / "reporting" / "scores.tsv"
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    with pytest.raises(UserError, match="lacks 1 of 18 scores"):
        check(monkeypatch, own)
    assert not (own / "checks.txt").exists()


TORCH, INT8 = ({"model": "TinyBERT", "form": form} for form in ("torch fp32", "ONNX int8"))
BYTES = {"quantity": "file size"}
NER = {"dataset": "BC2GM", "model": "DistilBioBERT", "protocol": "reference", "metric": "f1"}


@pytest.mark.parametrize(
    ("table", "wanted", "values", "message"),
    [
        ("ner", NER, {"mean": "84.0"}, "mean is 84.0, the scores give 8"),
        ("ner", NER, {"std": "nan"}, "table ner: std is nan in the row"),
        ("ner", NER, {"runs": "2"}, "runs is 2, the scores give 3"),
        ("ner", NER, {"model": "TinyBioBERT"}, "lacks the row BC2GM / DistilBioBERT / reference / f1"),
        ("qa", {"metric": "mrr"}, {"model": "AnotherBERT"}, "which is not part of this run"),
        ("summary", {"task": "ner"}, {"average": "50.0"}, "average is 50.0, the scores give 8"),
        (
            "ner_overview",
            NER,
            {"mean": "84.0"},
            "table ner_overview, BC2GM / DistilBioBERT / reference / f1: mean is 84.0",
        ),
        (
            "classes",
            {"class": "CPR:3", "kind": "run"},
            {"mean": "1.0"},
            "/ CPR:3 / seed42: mean is 1.0, the scores give",
        ),
        ("comparisons", {"kind": "mean"}, {"value": "84.0"}, "f1: 84.0, but the scores give 8"),
        ("sizes", {"model": "TinyBioBERT"}, {"encoder": "inf"}, "table sizes: encoder is inf"),
        ("efficiency", TORCH | {"quantity": "f1"}, {"median": "50.0"}, "f1: 50.0, but seed42 on NCBI-disease scored 8"),
        ("efficiency", TORCH | {"quantity": "f1"}, {"run": "seed9"}, "but seed9 on NCBI-disease has no score"),
        ("efficiency", TORCH | {"quantity": "latency, batch 1"}, {"median": "0.0"}, "0.0 is not positive"),
        ("efficiency", INT8 | BYTES, {"median": "999999999"}, "TinyBERT: its int8 file is not smaller"),
        ("efficiency", INT8 | BYTES, {"form": "ONNX"}, "table efficiency lacks TinyBERT / ONNX int8"),
    ],
)
def test_a_spoilt_table_is_named(monkeypatch, own, table, wanted, values, message):
    change(own, table, wanted, **values)
    with pytest.raises(UserError) as refusal:
        check(monkeypatch, own)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("table", "place", "text", "message"),
    [
        ("comparisons", "BC2GM / DistilBioBERT / reference / f1", "12.34", "table comparisons prints 12.34 of BC2GM"),
        ("ner", "BC2GM / DistilBioBERT / reference / f1", "12.34 ± 0.10", "table ner prints 12.34 of BC2GM"),
        ("ner_overview", "BC2GM / DistilBioBERT / reference / f1", "{} ± 9.99", "table ner_overview prints ± 9.99 of"),
        ("replication", "BC2GM / DistilBioBERT / standard / f1", "12.34", "table replication prints 12.34 of BC2GM"),
        ("classes", "ChemProt / TinyBERT / standard / f1 / CPR:3", "12.34", "table classes prints 12.34 of ChemProt"),
    ],
)
def test_what_is_printed_of_a_cell_is_one_text_in_all_tables(monkeypatch, own, table, place, text, message):
    """The texts stand in the pages as a reader sees them; the CSV files beside them are sound."""
    path = own / "tables" / f"{table}.html"
    page = path.read_text(encoding="utf-8")
    before, start, rest = page.partition(f'<span data-cell="{place}">')
    printed, end, after = rest.partition("</span>")
    mean = re.sub("<[^>]+>", "", printed).partition(" ± ")[0]
    path.write_text("".join([before, start, text.format(mean), end, after]), encoding="utf-8")
    with pytest.raises(UserError) as refusal:
        check(monkeypatch, own)
    assert message in str(refusal.value)


def test_comparisons_of_other_scores_are_named(monkeypatch, own):
    build(monkeypatch, own, error=0.5)
    with pytest.raises(UserError) as refusal:
        check(monkeypatch, own)
    for message in ("table comparisons, BC2GM / DistilBioBERT / reference / f1: 8", "table comparisons prints 8"):
        assert message in str(refusal.value)


def test_a_cell_that_no_table_prints_is_named(monkeypatch, own):
    for table in ("re", "re_overview", "replication", "comparisons"):
        path = own / "tables" / f"{table}.html"
        page = path.read_text(encoding="utf-8")
        path.write_text(page.replace("GAD / TinyBERT / standard / f1", "GAD / TinyBERT"), encoding="utf-8")
    with pytest.raises(UserError, match="no table prints GAD / TinyBERT / standard / f1"):
        check(monkeypatch, own)


def test_models_scored_on_different_examples_of_a_class_are_named(monkeypatch, own):
    rows = [(*row[:-1], 49) if row[-2] == "support" and row[5] == "CPR:3" else row for row in class_rows("TinyBERT")]
    write_rows(own / "finetuning" / "TinyBERT" / "classes.tsv", rows, CLASS_HEADER)
    with pytest.raises(UserError, match=r"ChemProt / seed42 / CPR:3: models were scored on different .*\(49, 50\)"):
        check(monkeypatch, own)


def test_a_cell_that_differs_between_two_tables_is_named(monkeypatch, own):
    shown = change(own, "replication", {"confidence": "confirmed"}, mean="12.5")
    with pytest.raises(UserError, match=f"table replication, {shown['dataset']} / {shown['model']}.*12.5"):
        check(monkeypatch, own)


def test_a_published_value_that_went_missing_is_named(monkeypatch, own):
    value = change(own, "replication", {"model": ""}, published="1.0")
    with pytest.raises(UserError, match=f"table replication lacks the row {value['dataset']} / "):
        check(monkeypatch, own)


def test_missing_tables_are_refused(monkeypatch, own):
    (own / "tables" / "qa.csv").unlink()
    with pytest.raises(UserError, match=r"qa.csv does not exist: build_tables writes it"):
        check(monkeypatch, own)
