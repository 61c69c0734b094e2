"""Comparisons of models: families, gaps, verdicts, the file, and the tables made of them."""

import numpy as np
import pytest
from helpers.units import run_units

from compactbio.errors import UserError
from compactbio.reporting.render import to_markdown
from compactbio.reporting.score_cells import build_cells
from compactbio.reporting.statistics.bootstrap import holm
from compactbio.reporting.statistics.differences import compare
from compactbio.reporting.statistics.estimates import (
    BASELINE,
    MEAN,
    PAIR,
    Estimate,
    by_model,
    read_estimates,
    write_estimates,
)
from compactbio.reporting.statistics.paired_units import files_by_dataset, read_dataset
from compactbio.reporting.tables.comparisons import comparison_records, comparisons_document, difference_notes
from compactbio.scoring.score_rows import Score
from compactbio.scoring.units import RunUnits, Units, write_units

LEVELS = {"base": 0.80, "same": 0.80, "worse": 0.70}


def write(path, model, datasets, runs=3, level=0.8):
    write_units(path, [units for dataset in datasets for units in run_units(dataset, model, runs, level)])
    return path


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("units")
    names = {model: ["NCBI-disease", "GAD", "BioASQ-7b"] for model in LEVELS} | {"worse": ["NCBI-disease"]}
    return [write(folder / f"{m}.parquet", m, names[m], level=LEVELS[m]) for m in LEVELS]


@pytest.fixture(scope="module")
def estimates(paths):
    return compare(paths, baseline="base", resamples=2000, seed=1)


def test_every_dataset_and_protocol_is_a_family_of_its_own(estimates):
    places = {(one.dataset, one.protocol) for one in estimates}
    assert places == {
        ("NCBI-disease", "reference"),
        ("NCBI-disease", "standard"),
        ("GAD", "standard"),
        ("BioASQ-7b", "reference"),
        ("BioASQ-7b", "standard"),
    }
    for dataset, protocol in places:
        here = [one for one in estimates if (one.dataset, one.protocol) == (dataset, protocol)]
        models = ["base", "same", "worse"] if dataset == "NCBI-disease" else ["base", "same"]
        assert [one.model for one in here if one.kind == MEAN] == models
        baseline, pairs = ([one for one in here if one.kind == kind] for kind in (BASELINE, PAIR))
        assert [(one.model, one.other) for one in baseline] == [(model, "base") for model in models[1:]]
        assert len(pairs) == len(models) * (len(models) - 1) / 2
        for family in (baseline, pairs):
            assert [one.holm for one in family] == holm([one.p for one in family])


def test_what_is_true_is_found(estimates):
    worse = by_model(estimates, BASELINE)["NCBI-disease", "standard", "worse"]
    assert (worse.verdict, worse.resampled) == ("lower", "runs and examples")
    assert worse.low < worse.value < worse.high < 0
    assert (worse.runs, worse.other_runs, worse.examples, worse.resamples) == (3, 3, 940, 2000)
    same = by_model(estimates, BASELINE)["NCBI-disease", "standard", "same"]
    assert same.verdict == "no difference shown"
    folds = by_model(estimates, MEAN)["GAD", "standard", "same"]
    assert (folds.runs, folds.examples) == (10, 5330)


def test_the_mean_is_that_of_the_runs(paths, estimates):
    runs = [unit for unit in run_units("NCBI-disease", "worse", 3, LEVELS["worse"]) if unit.protocol == "standard"]
    sums = [unit.units.counts.sum(axis=0) for unit in runs]
    expected = np.mean([2 * correct / (predicted + gold) for correct, predicted, gold in sums])
    assert by_model(estimates, MEAN)["NCBI-disease", "standard", "worse"].value == pytest.approx(100 * expected)


def test_a_missing_baseline_leaves_means_and_pairs(paths):
    found = compare(paths, baseline="elsewhere", resamples=1000, seed=1)
    assert {one.kind for one in found} == {MEAN, PAIR}


def test_models_with_other_gold_entities_are_not_compared(paths, tmp_path):
    """As under the reference protocol where vocabularies cut words into other pieces."""
    runs = run_units("NCBI-disease", "uncased", 3, 0.8)
    longer = [
        run._replace(units=run.units._replace(counts=run.units.counts + np.array([0, 0, 1])))
        if run.protocol == "reference"
        else run
        for run in runs
    ]
    write_units(tmp_path / "uncased.parquet", longer)
    found = compare([*paths[:2], tmp_path / "uncased.parquet"], baseline="base", resamples=1000, seed=1)
    differences = by_model([one for one in found if one.dataset == "NCBI-disease"], BASELINE)
    assert differences.keys() == {
        ("NCBI-disease", "reference", "same"),
        ("NCBI-disease", "standard", "same"),
        ("NCBI-disease", "standard", "uncased"),
    }
    pairs = {(one.protocol, one.model, one.other) for one in found if one.kind == PAIR and one.metric == "f1"}
    assert ("standard", "same", "uncased") in pairs and ("reference", "same", "uncased") not in pairs
    text = to_markdown(comparisons_document(results_of(["base", "same", "uncased"]), found))
    reference, _, standard = text.partition("## Standard protocol")
    assert (
        "No difference to base, since other gold entities were looked for (another vocabulary): uncased." in reference
    )
    assert "other gold entities" not in standard


def test_the_file_keeps_every_digit(tmp_path, estimates):
    write_estimates(tmp_path / "comparisons.tsv", estimates)
    assert read_estimates(tmp_path / "comparisons.tsv") == estimates
    (tmp_path / "other.tsv").write_text("kind\tdataset\n")
    with pytest.raises(UserError, match="run compare_models again"):
        read_estimates(tmp_path / "other.tsv")
    with pytest.raises(UserError, match="does not exist: run compare_models"):
        read_estimates(tmp_path / "none.tsv")


def difference(value=1.0, holm=0.01, runs=3, other_runs=3):
    place = (BASELINE, "D", "standard", "f1", "A", "B")
    return Estimate(*place, value, value - 0.5, value + 0.5, 0.01, holm, runs, other_runs, 100, 1000)


@pytest.mark.parametrize(
    ("estimate", "verdict", "resampled"),
    [
        (difference(), "higher", "runs and examples"),
        (difference(value=-1.0), "lower", "runs and examples"),
        (difference(holm=0.05), "no difference shown", "runs and examples"),
        (difference(runs=2), "higher in these runs", "runs and examples"),
        (difference(value=-1.0, other_runs=1), "lower in these runs", "examples, runs of one model"),
        (difference(runs=1, other_runs=1, holm=0.2), "no difference shown", "examples"),
    ],
)
def test_verdicts_by_the_corrected_p_and_the_number_of_runs(estimate, verdict, resampled):
    assert (estimate.verdict, estimate.resampled) == (verdict, resampled)


def test_other_test_examples_and_a_model_twice_are_refused(tmp_path, paths):
    runs = run_units("NCBI-disease", "short", 2, 0.8)
    cut = [run._replace(units=Units(run.units.examples[:-1], run.units.counts[:-1])) for run in runs]
    write_units(tmp_path / "short.parquet", cut)
    with pytest.raises(UserError, match=r"NCBI-disease: .*short\.parquet and .*base\.parquet are of different test"):
        compare([paths[0], tmp_path / "short.parquet"], baseline="base", resamples=1000, seed=1)
    with pytest.raises(UserError, match="a second file of units of base"):
        compare([paths[0], paths[0]], baseline="base", resamples=1000, seed=1)
    with pytest.raises(UserError, match="does not exist: score_model"):
        files_by_dataset([tmp_path / "none.parquet"])
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(UserError, match=r"is damaged.*score_model has to make it again"):
        files_by_dataset([tmp_path / "text.parquet"])


def test_units_are_read_as_they_were_written(tmp_path):
    counts = np.array([[1, 0, 0.0], [0, 1, 1 / 3]])
    runs = [
        RunUnits("qa", "Q", "A", run, 0, protocol, Units(["q1", "q2"], counts * scale))
        for run, scale in (("seed1", 1), ("seed2", 0))
        for protocol in ("standard", "reference")
    ]
    write_units(tmp_path / "units.parquet", runs)
    units = read_dataset([tmp_path / "units.parquet"], "Q")
    assert (units.task, units.sizes, units.models("standard"), units.runs("standard", "A")) == ("qa", [2], ["A"], 2)
    (array,) = units.counts["reference", "A"]
    assert array == pytest.approx(np.array([[[0, 1], [0, 1]], [[1 / 3, 1], [0, 1]]]))


def results_of(models, **options):
    scores = [
        Score("ner", "NCBI-disease", model, f"seed{run}", "standard", "f1", 0.8) for model in models for run in range(3)
    ]
    datasets = {"NCBI-disease": "ner", "GAD": "re"}
    return build_cells(scores, models=[*models, "absent"], datasets=datasets, baseline="base", **options)


def test_the_table_says_what_was_compared(estimates):
    results = results_of(["base", "same", "worse"], reasons={("absent", "NCBI-disease"): "fine-tuned, not scored yet"})
    text = to_markdown(comparisons_document(results, estimates))
    assert "Resamples: 2,000." in text
    rows = [line for line in text.splitlines() if line.startswith("| worse")]
    assert "lower" in rows[0] and "< 0.001" in rows[0].replace("\\", "")
    assert "– = fine-tuned, not scored yet: absent." in text
    assert "Test examples: 940." in text
    records = comparison_records(estimates)
    assert len(records) == len(estimates)
    assert {record["verdict"] for record in records if record["kind"] == MEAN} == {""}
    (note,) = difference_notes("NCBI-disease", "standard", results, estimates)
    assert note == "Against base (table comparisons): lower: worse; no difference shown: same."
    assert difference_notes("NCBI-disease", "standard", results, []) == []


def test_a_single_run_is_said(paths, tmp_path):
    one = write(tmp_path / "one.parquet", "base", ["NCBI-disease"], runs=1)
    other = write(tmp_path / "other.parquet", "same", ["NCBI-disease"], runs=1)
    found = compare([one, other], baseline="base", resamples=1000, seed=0)
    text = to_markdown(comparisons_document(results_of(["base", "same"]), found))
    assert "One run, so that test examples alone are resampled" in text and ": all models." in text
    assert "no difference shown" in text


def test_nothing_to_compare():
    text = to_markdown(comparisons_document(results_of(["base"]), []))
    assert "Nothing is compared yet" in text
