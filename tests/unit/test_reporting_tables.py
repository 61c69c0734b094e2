"""Cells, tables and their three forms, with values worked out by hand."""

import pytest

from compactbio.kinds import KINDS
from compactbio.reporting.explanations import QUIRKS
from compactbio.reporting.latex import escape_latex, to_latex
from compactbio.reporting.published import Assignment, PublishedValue
from compactbio.reporting.render import (
    Block,
    Document,
    Entry,
    Section,
    mean_and_std,
    signed,
    to_html,
    to_markdown,
)
from compactbio.reporting.score_cells import build_cells, rank_marks
from compactbio.reporting.tables.averages import averages, retained, summary_document
from compactbio.reporting.tables.kind_scores import task_document, task_records
from compactbio.reporting.tables.terminal import for_terminal
from compactbio.scoring.score_rows import Score

NOTHING = Assignment([], [], [], [])


def scores_of(model, dataset, task, metric, values, protocol="standard"):
    return [Score(task, dataset, model, f"seed{i}", protocol, metric, value) for i, value in enumerate(values)]


def results_of(scores, **options):
    settings = {"models": ["A", "B", "C"], "datasets": {"N": "ner", "M": "ner", "Q": "qa"}, "baseline": "A"}
    return build_cells(scores, **(settings | options))


def test_mean_and_sample_standard_deviation_over_runs():
    results = results_of(scores_of("A", "N", "ner", "f1", [0.80, 0.82, 0.87]))
    cell = results.cell("N", "A", "standard", "f1")
    # mean 83; deviations -3, -1, 4: sum of squares 26, / 2 = 13
    assert cell.mean == pytest.approx(83.0)
    assert cell.std == pytest.approx(13**0.5)
    assert cell.runs == 3
    assert mean_and_std(cell.mean, cell.std) == "83.00 ± 3.61"


def test_one_run_has_no_standard_deviation_and_a_gap_has_a_reason():
    results = results_of(scores_of("A", "N", "ner", "f1", [0.5]), reasons={("B", "N"): "fine-tuned, not scored yet"})
    cell = results.cell("N", "A", "standard", "f1")
    assert (cell.mean, cell.std) == (50.0, None)
    assert mean_and_std(cell.mean, cell.std) == "50.00"
    assert results.cell("N", "B", "standard", "f1").reason == "fine-tuned, not scored yet"
    assert results.cell("N", "C", "standard", "f1").reason == "not run"
    assert results.cell("N", "A", "reference", "f1").reason == "not scored"


def test_marks_follow_what_is_printed():
    assert rank_marks([1.0, 3.0, None, 2.0]) == ["", "best", "", "second"]
    assert rank_marks([3.001, 3.002, 1.0]) == ["best", "best", ""]
    assert rank_marks([3.0, 2.0, 2.0]) == ["best", "second", "second"]
    assert rank_marks([3.0, None]) == ["", ""]


def test_differences_have_a_sign_and_zero_has_none():
    assert [signed(value) for value in (0.5, -1.234, 0.001, -0.001, None)] == ["+0.50", "-1.23", "0.00", "0.00", "–"]


def test_latex_escapes_what_latex_would_read():
    assert escape_latex(r"50% of A_1 & B#2 $x$ {~^\} ± –") == (
        r"50\% of A\_1 \& B\#2 \$x\$ \{\textasciitilde{}\textasciicircum{}\textbackslash{}\} $\pm$ --"
    )


def test_the_three_forms_of_one_table():
    block = Block(
        "T_1", "t-1", ["model", "F1"], [[Entry("A_b"), Entry("2.00 ± 0.10", "best")], [Entry("C|d"), Entry("–")]]
    )
    block.notes.append("50 % of A_b & others")
    document = Document("D", ["Text."], [Section("S", [], [block])])
    markdown, latex, page = to_markdown(document), to_latex(document), to_html(document)
    assert "| A_b     | **2.00** ± 0.10 |" in markdown
    assert "| C\\|d" in markdown
    assert "- 50 % of A_b & others" in markdown
    for command in (
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
        r"\textbf{2.00} $\pm$ 0.10",
        r"50 \% of A\_b \& others",
    ):
        assert latex.count(command) == 1
    assert r"\hline" not in latex
    assert r"\caption{D. S. T\_1.}" in latex
    assert latex.count(r"\begin{") == latex.count(r"\end{") == 2
    assert "<strong>2.00</strong> ± 0.10" in page
    assert "50 % of A_b &amp; others" in page


def test_published_value_and_difference_stand_beside_the_reference_protocol():
    value = PublishedValue("ner", "N", "A", "f1", "reference", 84.0, "confirmed", "a paper")
    scores = scores_of("A", "N", "ner", "f1", [0.80, 0.82, 0.87], "reference")
    results = results_of(scores, published={value.cell: value})
    markdown = to_markdown(task_document("ner", results, Assignment([value], [], [], [])))
    row = next(line for line in markdown.splitlines() if line.startswith("| A") and "84.00" in line)
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "A",
        "–",
        "–",
        "83.00 ± 3.61",
        "84.00",
        "-1.00",
        "3",
    ]
    assert "Published F1 of A: a paper." in markdown
    record = next(r for r in task_records("ner", results) if "published" in r)
    assert record["difference"] == pytest.approx(-1.0)
    assert (record["model"], record["protocol"], record["metric"]) == ("A", "reference", "f1")


def test_gaps_are_listed_under_the_table_and_unassigned_values_too():
    loose = PublishedValue("ner", "N", "", "f1", "reference", 90.0, "confirmed", "which one is not said")
    guess = PublishedValue("ner", "N", "A", "f1", "reference", 70.0, "unconfirmed", "somebody")
    scores = scores_of("A", "N", "ner", "f1", [0.5], "reference")
    markdown = to_markdown(task_document("ner", results_of(scores), Assignment([], [guess], [loose], [])))
    assert "– = not run: A (M), B, C." in markdown
    assert "Published, not assigned to a model: F1 90.00 (which one is not said)." in markdown
    assert "not confirmed, decides nothing: A F1 70.00 (somebody)." in markdown
    assert "+" not in next(line for line in markdown.splitlines() if line.startswith("| A"))


def test_a_run_that_is_not_compared_with_the_paper_says_nothing_of_it():
    results = results_of(scores_of("A", "N", "ner", "f1", [0.5], protocol="reference"))
    elsewhere = PublishedValue("ner", "N", "Z", "f1", "reference", 88.67, "confirmed", "the paper")
    compared = to_markdown(task_document("ner", results, Assignment([], [], [], [elsewhere])))
    assert "No published F1 of a known model is confirmed for N" in compared
    assert "No published" not in to_markdown(task_document("ner", results, NOTHING))
    for task in KINDS:
        here = results_of(full_set(), datasets={f"my-{task}": task})
        for document in (task_document(task, here, NOTHING), summary_document(here, NOTHING)):
            text = to_markdown(document)
            assert "protocol" in text and "paper" not in text and "authors" not in text
        beside = to_markdown(task_document(task, here, Assignment([], [], [], [elsewhere])))
        assert ("paper" in beside) == bool(KINDS[task].paper_datasets)


def test_gold_entities_are_told_by_model_where_they_differ():
    scores = scores_of("A", "N", "ner", "entities", [100, 100]) + scores_of("B", "N", "ner", "entities", [90])
    markdown = to_markdown(task_document("ner", results_of(scores), NOTHING))
    assert "Gold entities: 90 (B); 100 (A)." in markdown


def test_macro_averages_are_shown_only_where_they_say_something_else():
    same = scores_of("A", "G", "re", "f1", [0.5]) + scores_of("A", "G", "re", "macro_f1", [0.5])
    other = scores_of("A", "P", "re", "f1", [0.5]) + scores_of("A", "P", "re", "macro_f1", [0.4])
    results = results_of(same + other, datasets={"G": "re", "P": "re"})
    markdown = to_markdown(task_document("re", results, NOTHING))
    assert "### P, macro averages" in markdown
    assert "### G, macro averages" not in markdown


def test_pooled_folds_stand_beside_their_mean():
    pooled = Score("re", "G", "A", "pooled", "standard", "pooled_f1", 0.62)
    results = results_of([*scores_of("A", "G", "re", "f1", [0.5, 0.7]), pooled], datasets={"G": "re"})
    assert results.cell("G", "A", "standard", "f1").runs == 2  # pooled is no third run
    markdown = to_markdown(task_document("re", results, NOTHING))
    block = markdown[markdown.index("### G, folds pooled") :]
    assert block.splitlines()[4].split("|")[4].strip() == "62.00"
    assert "60.00 ± 14.14" in markdown


def test_what_stands_in_train_is_counted_and_left_out_in_a_table_of_its_own():
    scores = scores_of("A", "N", "ner", "f1", [0.5]) + scores_of("A", "N", "ner", "seen_in_train", [1234])
    markdown = to_markdown(task_document("ner", results_of(scores), NOTHING))
    assert "- Test sentences that also stand in train: 1,234." in markdown
    assert "without what stands in train" not in markdown
    scores += scores_of("A", "N", "ner", "unseen_f1", [0.4])
    markdown = to_markdown(task_document("ner", results_of(scores), NOTHING))
    assert "### N, without what stands in train" in markdown and "40.00" in markdown
    folds = scores_of("A", "G", "re", "f1", [0.5, 0.5]) + scores_of("A", "G", "re", "seen_in_train", [1, 2])
    markdown = to_markdown(task_document("re", results_of(folds, datasets={"G": "re"}), NOTHING))
    assert "stand in train: 1.5 on average over the runs." in markdown


def full_set():
    scores = []
    for model, ner, qa in (("A", (0.80, 0.90), 0.50), ("B", (0.78, 0.88), 0.45)):
        for dataset, value in zip(("N", "M"), ner, strict=True):
            scores += scores_of(model, dataset, "ner", "f1", [value])
        scores += scores_of(model, "Q", "qa", "mrr", [qa])
    return scores + scores_of("C", "N", "ner", "f1", [0.1]) + scores_of("C", "Q", "qa", "mrr", [0.2])


def test_summary_averages_and_shares_by_hand():
    results = results_of(full_set())
    table = averages(results, "standard")
    # A: (80 + 90) / 2 = 85, 50, (85 + 50) / 2 = 67.5.  B: 83, 45, 64
    assert [table["A"][task][0] for task in ("ner", "qa", "all")] == pytest.approx([85.0, 50.0, 67.5])
    assert [table["B"][task][0] for task in ("ner", "qa", "all")] == pytest.approx([83.0, 45.0, 64.0])
    assert table["C"]["ner"] == (None, "M not run")
    assert table["C"]["all"] == (None, "M not run")
    shares = retained(table, "A")
    assert shares["A"]["all"][0] == 100.0
    assert [shares["B"][task][0] for task in ("ner", "qa", "all")] == pytest.approx([97.647059, 90.0, 94.814815])
    assert shares["C"]["qa"][0] == pytest.approx(40.0)
    assert retained(table, "Z")["A"]["ner"] == (None, "no average of the baseline Z")
    text = to_markdown(summary_document(results, NOTHING))
    assert "each kind of task counting once" in " ".join(text.split())
    assert "– = M not run: C." in text


def test_the_switches_are_those_of_the_configuration(request):
    yaml = pytest.importorskip("yaml")
    config = yaml.safe_load((request.config.rootpath / "config" / "config.yaml").read_text(encoding="utf-8"))
    assert config["quirks"].keys() == QUIRKS.keys()


def test_a_terminal_sees_narrow_columns_without_tags():
    document = Document(
        "D",
        [],
        [
            Section(
                "",
                [],
                [
                    Block(
                        "T",
                        "t",
                        ["model", "F1"],
                        [
                            [Entry("A|b"), Entry("2.00 ± 0.10", "best")],
                            [Entry("B"), Entry("1.00", "second")],
                            [Entry("C"), Entry("–")],
                        ],
                    )
                ],
            )
        ],
    )
    markdown = to_markdown(document)
    plain = for_terminal(markdown, styled=False).splitlines()
    start = plain.index("### T") + 2
    assert plain[start : start + 5] == [
        "model           F1",
        "-----  ------------",
        "A|b    2.00 ± 0.10*",
        "B             1.00'",
        "C                –",
    ]
    styled = for_terminal(markdown, styled=True)
    assert "\033[1m2.00\033[0m ± 0.10" in styled
    assert "\033[4m1.00\033[0m" in styled
