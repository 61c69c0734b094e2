"""Tables with a column for each model, scores by class, and that one cell is one text wherever it stands."""

from __future__ import annotations

import re

import pytest

from compactbio.reporting.material import Material
from compactbio.reporting.published import Assignment, PublishedValue
from compactbio.reporting.render import Block, Document, Entry, Section, row, to_html, to_markdown
from compactbio.reporting.score_cells import build_cells
from compactbio.reporting.statistics.cell_means import with_cell_means
from compactbio.reporting.statistics.estimates import BASELINE, MEAN, Estimate
from compactbio.reporting.tables.class_scores import OLD_SCORES
from compactbio.reporting.tables.class_scores import build as build_classes
from compactbio.reporting.tables.comparisons import build as build_comparisons
from compactbio.reporting.tables.kind_scores import build as build_kind
from compactbio.reporting.tables.overviews import build as build_overview
from compactbio.reporting.tables.replication import build as build_replication
from compactbio.scoring.score_rows import ClassScore, Score

NOTHING = Assignment([], [], [], [])


def material(scores, classes=(), *, models=("A", "B"), datasets=None, assignment=NOTHING, estimates=()):
    """What builders read of these scores."""
    datasets = datasets or {"N": "ner", "M": "ner"}
    published = assignment.by_cell()
    scored = build_cells(scores, models=models, datasets=datasets, baseline="A", published=published)
    return Material(scored, assignment, measured={}, trainings={}, classes=classes, estimates=list(estimates))


def scores_of(model, dataset, task, metric, values, protocol="standard"):
    return [Score(task, dataset, model, f"seed{n}", protocol, metric, value) for n, value in enumerate(values)]


def cells_of(markdown):
    """The rows of a document's tables, as texts without marks of Markdown."""
    lines = [line for line in markdown.splitlines() if line.startswith("|") and not line.startswith("|:")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_datasets_and_metrics_stand_below_each_other_and_models_beside_each_other():
    scores = scores_of("A", "N", "ner", "f1", [0.8, 0.9]) + scores_of("B", "N", "ner", "f1", [0.7, 0.72])
    scores += scores_of("A", "N", "ner", "recall", [0.5, 0.5]) + scores_of("B", "N", "ner", "recall", [0.6, 0.7])
    scores += scores_of("A", "M", "ner", "f1", [0.25])
    document, rows = build_overview(material(scores), "ner")
    document.sections = [section for section in document.sections if section.title == "Standard protocol"]
    assert cells_of(to_markdown(document)) == [
        ["dataset", "metric", "A", "B"],
        ["N", "precision", "–", "–"],
        ["", "recall", "<u>50.00</u> ± 0.00", "**65.00** ± 7.07"],
        ["", "F1", "**85.00** ± 7.07", "<u>71.00</u> ± 1.41"],
        ["M", "precision", "–", "–"],
        ["", "recall", "–", "–"],
        ["", "F1", "25.00", "–"],
    ]
    assert "over the runs: 2 (N); 1 (M)." in to_markdown(document)
    assert to_html(document).count('<tr class="group">') == 2
    assert len(rows) == 2 * 2 * 3 * 2  # protocols, datasets, metrics, models


def test_answers_have_their_own_metrics():
    document, _ = build_overview(material(scores_of("A", "Q", "qa", "mrr", [0.5]), datasets={"Q": "qa"}), "qa")
    assert [line[1] for line in cells_of(to_markdown(document))[1:4]] == ["strict", "lenient", "MRR"]


def class_scores(model, dataset, values, protocol="standard", task="re"):
    """Rows of classes from {label: {metric: [a value a run]}}."""
    return [
        ClassScore(task, dataset, model, f"seed{run}", protocol, label, metric, value)
        for label, metrics in values.items()
        for metric, of_runs in metrics.items()
        for run, value in enumerate(of_runs)
    ]


def test_classes_have_their_mean_their_spread_and_their_support():
    four = {"precision": [0.5, 0.7], "recall": [0.4, 0.4], "f1": [0.4, 0.5], "support": [30, 30]}
    classes = class_scores("A", "C", {"CPR:3": four, "CPR:4": four | {"f1": [0.2, 0.2], "support": [1200, 1201]}})
    classes += class_scores("A", "G", {"1": four})  # one class
    classes += class_scores("A", "elsewhere", {"x": four, "y": four})
    scores = scores_of("A", "C", "re", "f1", [0.4, 0.5]) + scores_of("B", "C", "re", "f1", [0.4, 0.5])
    document, rows = build_classes(material(scores, classes, datasets={"C": "re", "G": "re"}))
    markdown = to_markdown(document)
    assert cells_of(markdown) == [
        ["class", "metric", "A", "B"],
        ["CPR:3", "precision", "60.00 ± 14.14", "–"],
        ["", "recall", "40.00 ± 0.00", "–"],
        ["", "F1", "45.00 ± 7.07", "–"],
        ["", "support", "30", "–"],
        ["CPR:4", "precision", "60.00 ± 14.14", "–"],
        ["", "recall", "40.00 ± 0.00", "–"],
        ["", "F1", "20.00 ± 0.00", "–"],
        ["", "support", "1,200.5", "–"],
    ]
    assert f"– = {OLD_SCORES}: B." in markdown
    found = {
        (line["dataset"], line["class"], line["metric"], line["kind"], line.get("run")): line
        for line in rows
        if line["model"] == "A"
    }
    assert found["C", "CPR:3", "f1", "run", "seed1"]["mean"] == 50
    assert found["C", "CPR:3", "f1", "mean", None]["std"] == pytest.approx(50**0.5)
    assert found["C", "CPR:4", "support", "run", "seed0"]["mean"] == 1200
    assert found["G", "1", "f1", "mean", None]["mean"] == pytest.approx(45)  # a single class is in the rows
    assert {line["dataset"] for line in rows} == {"C", "G"}


def test_without_classes_the_table_says_so():
    document, rows = build_classes(material(scores_of("A", "N", "ner", "f1", [0.5])))
    assert "No dataset of this run has several classes." in to_markdown(document) and not rows


def estimate(kind, model, value, other=""):
    place = (kind, "Q", "standard", "mrr", model, other)
    p = 0.5 if other else None
    return Estimate(*place, value, value - 1, value + 1, p, p, 2, 2 if other else 0, 8, 100)


# Half of the last printed digit: 25.125 is such a number in binary too. Adding up in 32 bits leaves its neighbours.
TIED, ABOVE = [0.125, 0.3775], 25.125000001


def test_one_cell_is_one_text_in_all_tables():
    value = PublishedValue("qa", "Q", "A", "mrr", "standard", 30.0, "confirmed", "somebody")
    scores = scores_of("A", "Q", "qa", "mrr", TIED) + scores_of("B", "Q", "qa", "mrr", [0.5, 0.5])
    read = [estimate(MEAN, "A", ABOVE), estimate(MEAN, "B", 50.0), estimate(BASELINE, "B", 50 - ABOVE, "A")]
    about = {"datasets": {"Q": "qa"}, "assignment": Assignment([value], [], [], [])}
    scored = material(scores, **about).scored
    made = material(scores, **about, estimates=with_cell_means(read, scored))
    documents = [build_kind(made, "qa"), build_overview(made, "qa"), build_comparisons(made), build_replication(made)]
    printed = [
        re.sub("<[^>]+>", "", text).partition(" ± ")[0]
        for document, _ in documents
        for text in re.findall('data-cell="Q / A / standard / mrr">(.*?)</span>', to_html(document))
    ]
    assert len(printed) == 5  # replication has it as our value and as that of the standard protocol
    assert set(printed) == {"25.12"}
    assert f"{ABOVE:.2f}" == "25.13"
    mean, difference = documents[2][1][0], documents[2][1][2]
    assert mean["value"] == scored.cell("Q", "A", "standard", "mrr").mean
    assert difference["value"] == 50 - mean["value"]


def test_estimates_of_other_scores_and_of_models_left_out_stay_for_the_check_to_name():
    scored = material(scores_of("A", "Q", "qa", "mrr", TIED), datasets={"Q": "qa"}).scored
    stay = [estimate(MEAN, "Z", 10.0), estimate(MEAN, "A", 26.0), estimate(BASELINE, "Z", 3.0, "A")]
    assert with_cell_means(stay, scored) == stay


@pytest.mark.parametrize(
    ("texts", "side"),
    [
        (["86.71 ± 0.12", "–", "5.00"], "right"),
        (["[85.12, 87.20]", "[-1.00, 2.50]", "–"], "right"),
        (["5.12 (4.00 to 6.31)", "12 (11 to 13)"], "right"),
        (["12.31 (-0.50)", "+1.20", "< 0.001"], "right"),
        (["3 of 12", "12.5 min", "40.7 MB", "117.5 MFLOP", "1,234"], "right"),
        (["", "2.0e-05"], "right"),
        (["higher", "–", "lower in these runs"], "left"),
        (["3", "all"], "left"),
        (["2.13.0", "5.1"], "left"),
        (["9ac31f", "31077a"], "left"),
        (["2 runs of a model that was not trained here"], "left"),
    ],
)
def test_columns_of_text_are_left_aligned_and_those_of_numbers_right(texts, side):
    block = Block("T", "t", ["7", "column"], [row("1", text) for text in texts])
    markdown = to_markdown(Document("D", [], [Section("", [], [block])]))
    rule = next(line for line in markdown.splitlines() if line.startswith("|:"))
    first, second = rule.strip("|").split("|")
    assert first.startswith(":") and not first.endswith(":")  # it names the row
    assert second.endswith(":") == (side == "right")


def test_a_cell_is_named_in_html_alone():
    block = Block("T", "t", ["model", "F1"], [[Entry("A"), Entry("2.00 ± 0.10", "best", cell='a"b / A')]])
    document = Document("D", [], [Section("", [], [block])])
    assert '<span data-cell="a&quot;b / A"><strong>2.00</strong> ± 0.10</span>' in to_html(document)
    assert "| **2.00** ± 0.10 |" in to_markdown(document)
