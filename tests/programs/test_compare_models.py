"""compare_models.py, and the tables that build_tables.py makes of what it wrote or of a results folder so far."""

import csv
import importlib
import sys

import pytest
from helpers.reporting import DATASETS, write_results
from helpers.units import SIZES, run_units

from compactbio.errors import UserError
from compactbio.reporting.statistics.estimates import BASELINE, MEAN, by_model, read_estimates
from compactbio.scoring.units import write_units

MODELS = ("BioBERT-v1.1", "DistilBioBERT", "TinyBioBERT")
OPTIONS = ("--baseline", MODELS[0], "--resamples", 1000, "--seed", 42)


def start(monkeypatch, program, *arguments):
    monkeypatch.setattr(sys, "argv", [program, *map(str, arguments)])
    importlib.import_module(program).main()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Scores of three models; the last has no units of GAD, the second none at all of BioASQ."""
    root = write_results(tmp_path_factory.mktemp("results"), dict.fromkeys(MODELS, 0.0))
    lacking = {MODELS[1]: {"BioASQ-7b"}, MODELS[2]: {"GAD"}}
    for number, model in enumerate(MODELS):
        names = [name for name in ("NCBI-disease", "GAD", "BioASQ-7b") if name not in lacking.get(model, ())]
        units = [one for name in names for one in run_units(name, model, 3, 0.85 - 0.05 * number)]
        write_units(root / "finetuning" / model / "units.parquet", units)
    return root


def units_of(results):
    return [results / "finetuning" / model / "units.parquet" for model in MODELS]


def test_gaps_are_accepted_and_the_draws_are_seeded(monkeypatch, tmp_path, results):
    for name in ("a", "b"):
        start(monkeypatch, "compare_models", "--units", *units_of(results), *OPTIONS, "--output", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    estimates = read_estimates(tmp_path / "a")
    means, differences = by_model(estimates, MEAN), by_model(estimates, BASELINE)
    assert {model for dataset, _, model in means if dataset == "GAD"} == {*MODELS[:2]}
    assert {model for dataset, _, model in differences if dataset == "BioASQ-7b"} == {MODELS[2]}
    assert means["NCBI-disease", "standard", MODELS[0]].examples == SIZES["NCBI-disease"][1]
    assert differences["NCBI-disease", "standard", MODELS[2]].verdict == "lower"
    other = ("--baseline", MODELS[0], "--resamples", 1000, "--seed", 43)
    start(monkeypatch, "compare_models", "--units", *units_of(results), *other, "--output", tmp_path / "c")
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_one_path_stands_for_the_files_of_all_models(monkeypatch, tmp_path, results):
    of_model = results / "finetuning" / "{model}"
    start(monkeypatch, "compare_models", "--units", *units_of(results), *OPTIONS, "--output", tmp_path / "a")
    line = ("--units", of_model / "units.parquet", "--models", *MODELS, *OPTIONS, "--output", tmp_path / "b")
    start(monkeypatch, "compare_models", *line)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    tables = [results / "finetuning" / model / "scores.tsv" for model in MODELS]
    start(monkeypatch, "collect_scores", *tables, "--output", tmp_path / "c")
    start(monkeypatch, "collect_scores", of_model / "scores.tsv", "--models", *MODELS, "--output", tmp_path / "d")
    assert (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes()


def test_impossible_numbers_are_refused(monkeypatch, tmp_path, results):
    options = ("--baseline", "A", "--resamples", 0, "--seed", 1)
    with pytest.raises(UserError, match="--resamples must be at least 1"):
        start(monkeypatch, "compare_models", "--units", *units_of(results), *options, "--output", tmp_path / "a")


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_tables_of_comparisons_and_of_results_so_far_are_the_same(monkeypatch, request, tmp_path, results):
    start(monkeypatch, "compare_models", "--units", *units_of(results), *OPTIONS, "--output", tmp_path / "c.tsv")
    selection = ["--models", *MODELS, "--datasets", *(f"{name}:{task}" for name, (task, _) in DATASETS.items())]
    selection += ["--published", request.config.rootpath / "config" / "published_values.tsv"]
    for folder, options in (
        ("given", ("--comparisons", tmp_path / "c.tsv", "--baseline", MODELS[0])),
        ("so_far", OPTIONS),
    ):
        arguments = ("--results", results, *selection, *options, "--output-dir", tmp_path / folder)
        start(monkeypatch, "build_tables", *arguments)
    for name in ("comparisons", "replication", "ner"):
        for form in ("csv", "md", "tex", "html"):
            given, so_far = (tmp_path / folder / f"{name}.{form}" for folder in ("given", "so_far"))
            assert given.read_bytes() == so_far.read_bytes()
    comparisons = rows_of(tmp_path / "given" / "comparisons.csv")
    assert {row["verdict"] for row in comparisons if row["kind"] == "baseline"} >= {"lower"}
    cell = {row["kind"]: row for row in comparisons if row["model"] == MODELS[2] and row["protocol"] == "standard"}
    interval = next(
        row
        for row in rows_of(tmp_path / "given" / "ner.csv")
        if (row["dataset"], row["model"], row["protocol"], row["metric"])
        == ("NCBI-disease", MODELS[2], "standard", "f1")
    )
    assert cell["mean"]["dataset"] == "BioASQ-7b"  # the last of them
    assert float(interval["low"]) < float(interval["high"])
    text = (tmp_path / "given" / "ner.md").read_text(encoding="utf-8")
    assert f"- Against {MODELS[0]} (table comparisons): lower: " in text
    verdicts = {(row["dataset"], row["model"]): row["verdict"] for row in rows_of(tmp_path / "given/replication.csv")}
    assert verdicts["NCBI-disease", "BioBERT-v1.1"] == "not compared"
    assert verdicts["BC2GM", "DistilBioBERT"] in ("replicated", "higher", "lower")
    assert verdicts["BC2GM", "CompactBioBERT"] == ""  # outside this run


def test_tables_without_units_say_that_nothing_is_compared(monkeypatch, tmp_path):
    write_results(tmp_path / "results", {MODELS[0]: 0}, {"BC2GM": DATASETS["BC2GM"]})
    arguments = ("--results", tmp_path / "results", *OPTIONS, "--output-dir", tmp_path / "t")
    start(monkeypatch, "build_tables", *arguments)
    assert "Nothing is compared yet" in (tmp_path / "t" / "comparisons.md").read_text(encoding="utf-8")
    text = (tmp_path / "t" / "replication.md").read_text(encoding="utf-8")
    assert "reporting.compare_with_paper is false" in text
