"""The replication table: its verdicts by hand, its interval against simulation, and what decides nothing."""

import numpy as np
import pytest
from helpers.configurations import CONFIG, read

from compactbio.reporting.published import Assignment, PublishedValue, assign, read_published
from compactbio.reporting.render import to_markdown
from compactbio.reporting.score_cells import build_cells
from compactbio.reporting.statistics.verdicts import (
    compare_with_paper,
    count_verdicts,
    headline_cells,
    prediction_interval,
    rank_correlations,
)
from compactbio.reporting.tables.replication import replication_document, replication_records
from compactbio.scoring.score_rows import Score
from compactbio.settings.load import load_settings
from compactbio.settings.runs import finetuning_run

MODELS = ("DistilBioBERT", "CompactBioBERT", "TinyBioBERT", "BioMobileBERT")
DATASETS = {"BC2GM": "ner", "GAD": "re", "BioASQ-7b": "qa"}


def scores_of(model, values, dataset="BC2GM", protocol="reference"):
    metric = "mrr" if dataset == "BioASQ-7b" else "f1"
    return [
        Score(DATASETS[dataset], dataset, model, f"seed{i}", protocol, metric, value / 100)
        for i, value in enumerate(values)
    ]


def published(model, value, dataset="BC2GM", protocol="reference", confidence="confirmed"):
    metric = "mrr" if dataset == "BioASQ-7b" else "f1"
    return PublishedValue(DATASETS[dataset], dataset, model, metric, protocol, value, confidence, "a paper")


def compared(scores, values):
    cells = {value.cell: value for value in values}
    results = build_cells(scores, models=MODELS, datasets=DATASETS, baseline=MODELS[0], published=cells)
    return results, compare_with_paper(results, values)


def test_the_interval_by_hand():
    # t(0.975, 2) = 4.302653: 4.302653 x 0.3 x sqrt(4/3) = 1.490483
    assert prediction_interval(86.0, 0.3, 3) == pytest.approx((84.509517, 87.490483), abs=1e-6)
    assert prediction_interval(86.0, 0.3, 2) is None
    assert prediction_interval(86.0, None, 1) is None


@pytest.mark.parametrize("runs", [3, 10])
def test_the_interval_holds_one_more_run(runs):
    draws = np.random.default_rng(runs).normal(80, 0.5, (4000, runs + 1))
    held = [
        low <= row[-1] <= high
        for row in draws
        for low, high in [prediction_interval(row[:-1].mean(), row[:-1].std(ddof=1), runs)]
    ]
    assert np.mean(held) == pytest.approx(0.95, abs=0.011)  # three standard errors


@pytest.mark.parametrize(
    ("runs", "value", "verdict"),
    [
        ((85.7, 86.0, 86.3), 87.49, "replicated"),  # s = 0.3, as above
        ((85.7, 86.0, 86.3), 87.50, "lower"),
        ((85.7, 86.0, 86.3), 84.50, "higher"),
        ((86.0, 86.0, 86.0), 86.0, "replicated"),
        ((86.004, 86.004, 86.004), 86.0, "replicated"),  # as printed
        ((86.0, 86.1), 86.0, "too few runs to say"),
        ((), 86.0, "not compared"),
    ],
)
def test_verdicts(runs, value, verdict):
    _, (comparison,) = compared(scores_of(MODELS[0], runs), [published(MODELS[0], value)])
    assert comparison.verdict == verdict
    assert bool(comparison.reason) == (verdict in ("too few runs to say", "not compared"))


def test_values_that_are_scored_otherwise_are_not_compared():
    scores = scores_of(MODELS[0], (80, 81, 82), "GAD", "standard") + scores_of(MODELS[0], (80, 81, 82))
    scores += scores_of(MODELS[0], (70, 71, 72), protocol="standard")
    values = [
        published(MODELS[0], 80.0, "GAD", "standard"),
        published(MODELS[0], 89.0, protocol="standard"),
        published(MODELS[0], 81.0),
    ]
    _, (relation, standard, own) = compared(scores, values)
    assert (relation.verdict, relation.interval) == ("not compared", None)
    assert "relation extraction is not known" in relation.reason
    assert (standard.verdict, standard.interval) == ("not compared", None)
    assert "standard protocol" in standard.reason
    assert (own.verdict, own.standard.mean) == ("replicated", pytest.approx(71.0))
    assert count_verdicts([relation, standard, own]) == {"replicated": 1}


def test_order_of_the_models_by_hand():
    ours = {"DistilBioBERT": 86, "CompactBioBERT": 87, "TinyBioBERT": 70, "BioMobileBERT": 85}
    theirs = {"DistilBioBERT": 86.6, "CompactBioBERT": 86.7, "TinyBioBERT": 85.3, "BioMobileBERT": 85.0}
    scores = [score for model, value in ours.items() for score in scores_of(model, (value,) * 3)]
    _, comparisons = compared(scores, [published(model, value) for model, value in theirs.items()])
    (rank,) = rank_correlations(comparisons)
    # ranks 3 4 1 2 and 3 4 2 1: 1 - 6 x 2 / (4 x 15); one pair of six stands the other way: (5 - 1) / 6
    assert (rank.dataset, rank.models) == ("BC2GM", 4)
    assert (rank.spearman, rank.kendall) == (pytest.approx(0.8), pytest.approx(4 / 6))
    (few,) = rank_correlations(comparisons[:2])
    assert (few.models, few.spearman, few.kendall) == (2, None, None)
    _, level = compared(
        [s for m in ours for s in scores_of(m, (80,) * 3)], [published(m, v) for m, v in theirs.items()]
    )
    assert rank_correlations(level)[0].kendall is None


def test_the_head_counts_and_the_rest_is_listed_apart():
    scores = scores_of(MODELS[0], (85.7, 86.0, 86.3)) + scores_of(MODELS[1], (85.7, 86.0, 86.3))
    matched = [published(MODELS[0], 86.2), published(MODELS[1], 80.0)]
    guess = published(MODELS[2], 99.0, confidence="unconfirmed")
    loose, elsewhere = published("", 87.0), published("BioTinyBERT", 83.0)
    assignment = Assignment(matched, [guess], [loose], [elsewhere])
    results, _ = compared(scores, matched)
    assert headline_cells(results, matched) == (2, 4 * 2)  # four models on BC2GM and BioASQ
    text = to_markdown(replication_document(results, assignment))
    assert "2 of 8 cells" in text
    assert "Verdicts on the 2 confirmed values by the reference protocol: replicated: 1; higher: 1." in text
    cells, _, rest = text.partition("## Published values that decide nothing")
    assert "99.00" not in cells and "99.00" in rest
    for reason in ("not confirmed", "the source does not say which model", "not part of this run"):
        assert reason in rest
    records = replication_records(results, assignment, [])
    assert [record.get("verdict") for record in records] == ["replicated", "higher", None, None, None]
    assert [record["published"] for record in records] == [86.2, 80.0, 99.0, 87.0, 83.0]


def test_an_unconfirmed_value_says_how_far_we_came_and_decides_nothing():
    scores = scores_of(MODELS[0], (27.0, 28.0, 30.5), "BioASQ-7b")
    guess = published(MODELS[0], 28.0, "BioASQ-7b", confidence="unconfirmed")
    assignment = assign([guess], models=MODELS, datasets=DATASETS)
    results = build_cells(scores, models=MODELS, datasets=DATASETS, baseline=MODELS[0], published=assignment.by_cell())
    text = to_markdown(replication_document(results, assignment))
    assert "Verdicts on the 0 confirmed values by the reference protocol: none." in text
    line = next(line for line in text.splitlines() if line.startswith("| BioASQ-7b"))
    assert [cell.strip() for cell in line.strip("|").split("|")][4:] == ["28.00", "28.50 ± 1.80", "+0.50"]
    (record,) = replication_records(results, assignment, [])
    assert (record["mean"], record["difference"]) == (pytest.approx(28.5), pytest.approx(0.5))
    assert "verdict" not in record and record["reason"] == "not confirmed, decides nothing"


def test_the_shipped_values_say_where_they_were_read():
    values = read_published(CONFIG / "published_values.tsv")
    ours = [value for value in values if value.table == "ner" and value.is_comparable]
    assert len(ours) == 10 and all(value.source.startswith("read on ") for value in ours)
    assert all("leaderboard page" in value.source and "were not seen" in value.source for value in ours)
    unconfirmed = {value.metric: value.value for value in values if value.confidence == "unconfirmed"}
    expected = {"strict": 100 * 38 / 162, "lenient": 100 * 59 / 162, "mrr": 28.52440}
    assert unconfirmed == pytest.approx(expected, abs=1e-4)


def test_the_example_of_the_readme_trains_what_the_unconfirmed_values_are_of():
    config = load_settings(read("examples/readme_bioasq.yaml"))
    rows = read_published(CONFIG / "published_values.tsv")
    (cell,) = {(value.model, value.dataset) for value in rows if value.confidence == "unconfirmed"}
    assert ([cell[0]], [cell[1]]) == (config["run"]["models"], config["run"]["datasets"])
    assert config["models"][cell[0]]["source"] == "hub"
    options = finetuning_run(config, *cell)["hyperparameters"]
    assert (options["learning_rate"], options["epochs"], options["batch_size"]) == (3e-5, 5, 16)


def test_a_run_that_is_not_compared_with_the_paper_says_so():
    results, _ = compared(scores_of(MODELS[0], (80,)), [])
    text = to_markdown(replication_document(results, Assignment([], [], [], [])))
    assert "not compared with the paper" in text and "compare_with_paper is false" in text
    assert replication_records(results, Assignment([], [], [], []), []) == []
