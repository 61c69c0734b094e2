"""Tables of costs, and the checks of results."""

import itertools

import pytest
from helpers.reporting import (
    DATASETS,
    deployment_file,
    efficiency_file,
    run_names,
    score_rows,
)

from compactbio.errors import UserError
from compactbio.reporting.collected_scores import Score
from compactbio.reporting.efficiency.measurements import read_deployment, read_efficiency
from compactbio.reporting.efficiency.timing import MeasurementSettings, integer_instructions, spread, time_in_turn
from compactbio.reporting.figures.tradeoffs import pareto_front, spread_heights
from compactbio.reporting.render import Document, to_markdown
from compactbio.reporting.score_checks import find_problems
from compactbio.reporting.tables.model_costs import (
    deployment_records,
    deployment_sections,
    efficiency_document,
    sizes_document,
)


def test_measurements_become_tables_and_different_machines_are_told(tmp_path):
    one = efficiency_file(tmp_path / "1.json", {"A-Tiny": 0})
    two = efficiency_file(tmp_path / "2.json", {"B-Distil": 0}, cpu="Another")
    measured = read_efficiency([one, two])
    text = to_markdown(efficiency_document(["A-Tiny", "B-Distil", "C"], measured))
    assert "Measured on different machines" in text
    assert "5.00 (4.00 to 7.00)" in text
    assert " 82.7 |" in text  # peak memory of A-Tiny: 6 x 13.79 million bytes
    assert "– = not measured: C." in text
    assert "| A-Tiny  | 13,790,000 |" in to_markdown(sizes_document(["A-Tiny"], measured))
    with pytest.raises(UserError, match="A-Tiny a second time"):
        read_efficiency([one, one])
    (tmp_path / "3.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="measure_efficiency has to write it again"):
        read_efficiency([tmp_path / "3.json"])


@pytest.mark.parametrize(
    ("dataset", "metric", "columns"),
    [
        ("NCBI-disease", "f1", "F1, reference |   F1, standard"),
        ("GAD", "f1", "CPU sequences/s |   F1, standard"),
        ("BioASQ-7b", "mrr", "MRR, reference |   MRR, standard"),
    ],
)
def test_each_model_has_a_row_per_form_with_what_int8_costs(tmp_path, dataset, metric, columns):
    deployed = read_deployment(deployment_file(tmp_path / "d.json", {"A": 0, "B": 0}, dataset))
    text = to_markdown(Document("", [], deployment_sections(["A", "B", "C"], deployed)))
    assert columns in text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| A ")]
    assert [row[1:5] for row in rows] == [
        ["torch fp32", "4.0", "3.00 (3.00 to 3.00)", "3.00 (1.00 to 9.00)"],
        ["ONNX fp32", "4.1", "2.00 (2.00 to 2.00)", "4.50 (1.00 to 9.00)"],
        ["ONNX int8", "1.0", "1.00 (1.00 to 1.00)", "9.00 (1.00 to 9.00)"],
    ]
    value = 100 * next(row[6] for row in score_rows("A") if row[1] == dataset and row[5] == metric)
    assert [row[5] for row in rows] == [f"{value:.2f}", f"{value:.2f} (0.00)", f"{value - 0.4:.2f} (-0.40)"]
    assert "– = not measured: C." in text
    assert "A processor (8-bit products by avx512_vnni) with 2 threads, torch 2.13.0, ONNX Runtime 1.32.0" in text
    records = deployment_records(["A", "B", "C"], deployed)
    assert len(records) == 2 * 3 * (3 + (1 if dataset == "GAD" else 2))
    assert {record["model"] for record in records} == {"A", "B"}


def test_without_measurements_nothing_stands_in_the_table(tmp_path):
    assert read_deployment(None) is None
    assert deployment_sections(["A"], None) == deployment_records(["A"], None) == []
    (tmp_path / "d.json").write_text('{"models": {}}', encoding="utf-8")
    with pytest.raises(UserError, match="measure_deployment has to write it again"):
        read_deployment(tmp_path / "d.json")


def test_every_timed_pass_follows_one_of_its_kind_and_the_order_turns():
    made = []
    passes = {name: lambda name=name: made.append(name) for name in "abc"}
    seconds = time_in_turn(passes, MeasurementSettings(warmup=1, repetitions=3))
    assert made[::2] == made[1::2] == [*"cab", *"abc", *"bca", *"cab"]
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3, "c": 3}
    assert spread([4.0, 1.0, 3.0, 2.0]) == {"median": 2.5, "q1": 1.75, "q3": 3.25, "values": [4.0, 1.0, 3.0, 2.0]}
    assert integer_instructions() in ("amx_int8", "avx512_vnni", "avx_vnni", "avx2", "")


def test_the_front_leaves_out_what_a_smaller_model_reaches():
    points = [(10, 70.0), (10, 72.0), (20, 71.0), (60, 80.0), (65, 80.0), (100, 81.0)]
    assert pareto_front(points) == [(10, 72.0), (60, 80.0), (100, 81.0)]


def test_labels_keep_their_distance_and_stay_in_the_panel():
    heights = spread_heights([0.9, 0.9, 0.89, 0.02, 0.01], step=0.1)
    assert all(a - b >= 0.1 - 1e-9 for a, b in itertools.pairwise(heights))
    assert min(heights) >= 0
    assert max(heights) <= 1
    many = spread_heights([0.5] * 30, step=0.1)
    assert max(many) <= 1 + 1e-9
    assert min(many) >= 0


# ---- checks

SMALL = {name: DATASETS[name] for name in ("BC2GM", "GAD", "BioASQ-7b")}
TASKS = {name: task for name, (task, _) in SMALL.items()}
MODELS = ["BioBERT-v1.1", "TinyBERT"]
EXPECTED = {(model, name): run_names(name) for model in MODELS for name in TASKS}


def problems_after(change):
    scores = [Score(*row) for model in MODELS for row in score_rows(model, SMALL)]
    return find_problems(change(scores), models=MODELS, datasets=TASKS, expected=EXPECTED)


def replaced(score, **changes):
    return score._replace(**changes)


def test_sound_results_have_no_problems():
    assert problems_after(lambda scores: scores) == []


def test_scores_of_pooled_folds_are_of_no_unknown_run():
    pooled = Score("re", "GAD", "TinyBERT", "pooled", "standard", "pooled_f1", 0.8)
    assert problems_after(lambda scores: [*scores, pooled]) == []


def test_a_missing_run_is_named():
    problems = problems_after(
        lambda scores: [s for s in scores if (s.model, s.dataset, s.run) != ("TinyBERT", "GAD", "seed42-fold3")]
    )
    assert problems == ["TinyBERT on GAD lacks 3 of 30 scores, first seed42-fold3 / standard / f1"]


def test_a_missing_model_a_stale_run_and_a_stranger_are_named():
    assert "TinyBERT on GAD has no scores" in problems_after(
        lambda scores: [s for s in scores if (s.model, s.dataset) != ("TinyBERT", "GAD")]
    )
    stale = problems_after(lambda scores: [*scores, replaced(scores[0], run="seed7")])
    assert stale == ["BioBERT-v1.1 on BC2GM has scores of runs that its run file lacks: seed7"]
    stranger = problems_after(lambda scores: [*scores, replaced(scores[0], model="Other")])
    assert stranger == ["Other on BC2GM has scores, but is not part of this run"]


def test_numbers_that_contradict_each_other_are_named():
    def wrong(metric, value):
        return lambda scores: [
            replaced(s, value=value)
            if (s.model, s.run, s.metric, s.protocol) == ("TinyBERT", "seed42", metric, "standard")
            else s
            for s in scores
        ]

    assert "F1 0.990000 is not 2PR/(P+R)" in problems_after(wrong("f1", 0.99))[0]
    assert "does not lie between strict" in problems_after(wrong("mrr", 0.99))[0]
    assert problems_after(wrong("entities", 6000.0)) == [
        "BC2GM: runs were scored on different numbers of gold entities (6000, 6325)"
    ]
