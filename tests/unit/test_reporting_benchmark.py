"""A benchmark's table: means of groups and of these, dashes with their reason where a dataset is missing."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from helpers.configurations import CONFIG

from compactbio.errors import UserError
from compactbio.files import read_yaml
from compactbio.reporting.material import Material
from compactbio.reporting.published import Assignment
from compactbio.reporting.render import to_markdown
from compactbio.reporting.report_records import TABLES
from compactbio.reporting.score_cells import build_cells
from compactbio.reporting.table_checks import _rows
from compactbio.reporting.tables.benchmark import build
from compactbio.scoring.score_rows import Score
from compactbio.settings.benchmarks import read_benchmark
from compactbio.settings.load import settings_of_files

DATASETS = {"N": "ner", "M": "ner", "P": "classification", "S": "regression"}
DEFINITION: dict[str, Any] = {
    "name": "Bench",
    "source": "a paper",
    "groups": {
        "NER": {
            "N one": {"dataset": "N", "metric": "f1", "note": "another cut"},
            "M": {"dataset": "M", "metric": "word_macro_f1"},
        },
        "QA": {"P": {"dataset": "P", "metric": "accuracy"}},
        "Similarity": {"S": {"dataset": "S", "metric": "pearson"}},
    },
}
MISSING = {"B": {"dataset": "Z", "metric": "accuracy", "absent": "it asks for a registration"}}


def scores_of(model: str, dataset: str, metric: str, values: list[float]) -> list[Score]:
    runs = enumerate(values)
    return [Score(DATASETS[dataset], dataset, model, f"s{n}", "standard", metric, value) for n, value in runs]


SCORES = [
    *(*scores_of("A", "N", "f1", [0.5, 0.7]), *scores_of("A", "M", "word_macro_f1", [0.3])),
    *(*scores_of("A", "P", "accuracy", [0.9]), *scores_of("A", "S", "pearson", [-0.25])),
    *(*scores_of("B", "N", "f1", [0.4]), *scores_of("B", "P", "accuracy", [0.8])),
    *scores_of("B", "S", "pearson", [0.75]),
]


def material(definition: dict[str, Any]) -> Material:
    scored = build_cells(SCORES, models=["A", "B"], datasets=DATASETS, baseline="A")
    nothing = Assignment([], [], [], [])
    return Material(scored, nothing, measured={}, trainings={}, benchmark=read_benchmark(definition))


def tables_of(text: str) -> list[list[list[str]]]:
    """Return the cells of each pipe table of Markdown without its rule."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    plain = (("**", ""), ("<u>", ""), ("</u>", ""))
    tables = []
    for lines in blocks:
        rows = [line for number, line in enumerate(lines) if number != 1]
        for mark, nothing in plain:
            rows = [row.replace(mark, nothing) for row in rows]
        tables.append([[cell.strip() for cell in row.split("|")[1:-1]] for row in rows])
    return tables


def test_groups_are_means_of_datasets_and_the_score_of_groups() -> None:
    document, rows = build(material(DEFINITION))
    text = to_markdown(document)
    first, second = tables_of(text)
    # A: NER (60 + 30) / 2, QA 90, similarity -25; B lacks M
    assert first == [
        ["model", "Bench score", "NER", "QA", "Similarity"],
        ["A", f"{statistics.fmean([45, 90, -25]):.2f}", "45.00", "90.00", "-25.00"],
        ["B", "–", "–", "80.00", "75.00"],
    ]
    assert second == [
        ["model", "N one", "M", "NER mean", "P", "S"],
        ["A", "60.00", "30.00", "45.00", "90.00", "-25.00"],
        ["B", "40.00", "–", "–", "80.00", "75.00"],
    ]
    assert "Bench, as a paper defines it" in text and "F1 of N one" in text and "Pearson's r of S" in text
    assert "- – = NER lacks M: B." in text.splitlines()
    assert text.splitlines()[-2:] == ["- N one: another cut.", "- – = not run: B on M."]
    by_place = {(row["kind"], row.get("group"), row.get("column"), row["model"]): row for row in rows}
    assert len(by_place) == len(rows) == 2 * (4 + 3 + 1)
    assert by_place["score", None, None, "A"]["value"] == pytest.approx(110 / 3)
    assert by_place["score", None, None, "B"]["reason"] == "NER lacks M"
    assert by_place["dataset", "NER", "N one", "A"]["dataset"] == "N"


def test_a_dataset_that_the_run_lacks_leaves_no_score_and_says_why() -> None:
    definition = {**DEFINITION, "groups": {**DEFINITION["groups"], "QA": {**DEFINITION["groups"]["QA"], **MISSING}}}
    document, rows = build(material(definition))
    text = to_markdown(document)
    first, second = tables_of(text)
    assert [row[1] for row in first[1:]] == [row[3] for row in first[1:]] == ["–", "–"]
    assert second[1][1:4] == ["60.00", "30.00", "45.00"]  # a group that is whole has its mean
    assert "- – = it asks for a registration: B." in text.splitlines()
    assert {row["reason"] for row in rows if row.get("column") == "B"} == {"it asks for a registration"}


def test_the_check_of_results_takes_the_table_as_it_is_and_no_other_number() -> None:
    [record] = [table for table in TABLES if table.name == "benchmark"]
    made = material(DEFINITION)
    texts = ({name: row.get(name) for name in record.columns} for row in record.build(made)[1])
    rows = [{name: "" if value is None else str(value) for name, value in row.items()} for row in texts]
    assert not _rows(record, {"benchmark": rows}, made)
    rows[0]["value"] = "61.0"
    assert _rows(record, {"benchmark": rows}, made) == [
        "table benchmark, dataset / NER / N one / A: value is 61.0, the scores give 60.0"
    ]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"dataset": "Nowhere", "metric": "f1"}, r"benchmark.groups.NER.X.dataset: .*Nowhere"),
        (
            {"dataset": "GAD", "metric": "accuracy"},
            r"NER.X.metric: `accuracy` is none of re: precision",
        ),
        ({"dataset": "NCBI-disease", "metric": "entities"}, r"NER.X.metric: `entities` is none of ner"),
        ({"dataset": "GAD"}, "missing key.*`metric`"),
    ],
)
def test_a_column_that_cannot_be_is_refused(tmp_path, column, message) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(str({"benchmark": {**DEFINITION, "groups": {"NER": {"X": column}}}}))
    with pytest.raises(UserError, match=message):
        settings_of_files([path])


def test_shipped_benchmarks_name_their_datasets_and_why_any_is_left_out() -> None:
    for path in sorted((CONFIG / "benchmarks").glob("*.yaml")):
        config = settings_of_files([path])
        benchmark = read_benchmark(config["benchmark"])
        columns = [column for columns in benchmark.groups.values() for column in columns]
        stated = {
            title
            for group in read_yaml(path)["benchmark"]["groups"].values()
            for title, one in group.items()
            if "absent" in one
        }
        assert {column.title for column in columns if column.dataset not in config["run"]["datasets"]} <= stated
        assert set(config["run"]["datasets"]) <= {column.dataset for column in columns}
