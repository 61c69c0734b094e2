"""The table of a benchmark as its leaderboard has it: models by datasets, means of groups, and the mean of these."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from compactbio.kinds import METRIC_TITLES
from compactbio.kinds.kind import STANDARD
from compactbio.reporting.grouping import grouped
from compactbio.reporting.material import Built, Material, Row
from compactbio.reporting.render import DASH, MARKS_NOTE, Block, Document, Entry, Section, gap_note, number
from compactbio.reporting.score_cells import Cell, ScoreCells, rank_marks
from compactbio.reporting.tables.score_columns import marked_entries
from compactbio.settings.benchmarks import Benchmark, Column

DATASET, GROUP, SCORE = "dataset", "group", "score"  # what a row of the CSV file is of


class Mean(NamedTuple):
    """A mean in percent, or None with what it lacks."""

    value: float | None
    reason: str = ""


def build(material: Material) -> Built:
    """Return the table, for a run whose configuration has a benchmark."""
    assert material.benchmark is not None
    return benchmark_document(material.benchmark, material.scored), benchmark_records(
        material.benchmark, material.scored
    )


def cells_of(column: Column, scored: ScoreCells) -> list[Cell] | None:
    """Return a column's cells, one a model; None where the run does not have its dataset."""
    return scored.column(column.dataset, STANDARD, column.metric) if column.dataset in scored.datasets else None


def group_means(columns: Sequence[Column], scored: ScoreCells) -> list[Mean]:
    """Return for each model the mean over the datasets of a group; a model that lacks one has none."""
    of_columns = [(column, cells_of(column, scored)) for column in columns]
    means = []
    for place in range(len(scored.models)):
        found = [(column, cells[place] if cells else None) for column, cells in of_columns]
        values = [cell.mean for _, cell in found if cell is not None and cell.mean is not None]
        lacking = [column.title for column, cell in found if cell is None or cell.mean is None]
        means.append(Mean(None, f"lacks {', '.join(lacking)}") if lacking else Mean(statistics.fmean(values)))
    return means


def score_means(groups: Mapping[str, Sequence[Mean]]) -> list[Mean]:
    """Return for each model the mean over the groups, each counting once; a model that lacks one has none."""
    means = []
    for row in zip(*groups.values(), strict=True):
        values = [mean.value for mean in row if mean.value is not None]
        reasons = "; ".join(f"{group} {mean.reason}" for group, mean in zip(groups, row, strict=True) if mean.reason)
        means.append(Mean(None, reasons) if reasons else Mean(statistics.fmean(values)))
    return means


def benchmark_document(benchmark: Benchmark, scored: ScoreCells) -> Document:
    """Return the table: scores and means of groups, then every dataset."""
    groups = {group: group_means(columns, scored) for group, columns in benchmark.groups.items()}
    scores = score_means(groups)
    columns = [column for of_group in benchmark.groups.values() for column in of_group]
    metrics = grouped((_title(column.metric), column.title) for column in columns)
    text = [
        f"{benchmark.name}, as {benchmark.source} defines it. Percent, means over the runs by the standard protocol: "
        f"{'; '.join(f'{title} of {_listed(titles)}' for title, titles in metrics.items())}.",
        f"A group is the mean of its datasets, the {benchmark.name} score the mean of the groups, each counting once. "
        "Neither is given where a dataset is missing: a mean over fewer would not compare.",
        MARKS_NOTE,
    ]
    whole = [
        _means_column(f"{benchmark.name} score", scores),
        *(_means_column(group, means) for group, means in groups.items()),
    ]
    every = []
    for group, of_group in benchmark.groups.items():
        every += [_dataset_column(column, scored) for column in of_group]
        every += [_means_column(f"{group} mean", groups[group])] if len(of_group) > 1 else []
    lacking = grouped((mean.reason, model) for model, mean in zip(scored.models, scores, strict=True) if mean.reason)
    gaps = [note for reason, models in lacking.items() for note in gap_note(reason, models)]
    blocks = [
        _block(f"{benchmark.name} score and groups", "benchmark-score", whole, scored, gaps),
        _block("Every dataset", "benchmark-datasets", every, scored, _notes(columns, scored)),
    ]
    return Document(benchmark.name, text, [Section("", [], blocks)])


def _title(metric: str) -> str:
    """Return a metric's title, that of a variant with its prefix."""
    prefix, _, repeated = metric.partition("_")
    return METRIC_TITLES.get(metric) or f"{prefix} {METRIC_TITLES[repeated]}"


def _listed(titles: Sequence[str]) -> str:
    """Return names in a sentence."""
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"


def _means_column(title: str, means: Sequence[Mean]) -> tuple[str, list[Entry]]:
    """Return a column of means, the best marked."""
    values = [mean.value for mean in means]
    return title, [Entry(number(value), mark) for value, mark in zip(values, rank_marks(values), strict=True)]


def _dataset_column(column: Column, scored: ScoreCells) -> tuple[str, list[Entry]]:
    """Return a column of a dataset's means, dashes where the run does not have it."""
    cells = cells_of(column, scored)
    return column.title, marked_entries(cells, deviations=False) if cells else [Entry(DASH)] * len(scored.models)


def _block(
    title: str, label: str, columns: Sequence[tuple[str, list[Entry]]], scored: ScoreCells, notes: list[str]
) -> Block:
    """Return the table with a row for each model."""
    rows = [[Entry(model), *(entries[i] for _, entries in columns)] for i, model in enumerate(scored.models)]
    return Block(title, label, ["model", *(heading for heading, _ in columns)], rows, notes)


def _notes(columns: Sequence[Column], scored: ScoreCells) -> list[str]:
    """Return what is said of datasets, and which are missing and why: of the whole run, and of single models."""
    absent = grouped((column.absent, column.title) for column in columns if column.dataset not in scored.datasets)
    gaps = grouped(
        (cell.reason, f"{cell.model} on {column.title}")
        for column in columns
        for cell in cells_of(column, scored) or ()
        if cell.mean is None
    )
    notes = [f"{column.title}: {column.note}." for column in columns if column.note]
    return notes + [line for reason, names in (*absent.items(), *gaps.items()) for line in gap_note(reason, names)]


def benchmark_records(benchmark: Benchmark, scored: ScoreCells) -> list[Row]:
    """Return one tidy row per model and dataset, group, and score, every digit kept."""
    groups = {group: group_means(columns, scored) for group, columns in benchmark.groups.items()}
    records: list[Row] = []
    for group, columns in benchmark.groups.items():
        for column in columns:
            cells: Sequence[Cell | None] = cells_of(column, scored) or [None] * len(scored.models)
            place = {"group": group, "column": column.title, "dataset": column.dataset, "metric": column.metric}
            for model, cell in zip(scored.models, cells, strict=True):
                value, reason = (None, column.absent) if cell is None else (cell.mean, cell.reason)
                records.append({"kind": DATASET, **place, "model": model, "value": value, "reason": reason})
        records += _records(GROUP, scored, groups[group], group=group)
    return [*records, *_records(SCORE, scored, score_means(groups))]


def _records(kind: str, scored: ScoreCells, means: Sequence[Mean], **place: str) -> list[Row]:
    """Return a row per model of a group's means or of the scores."""
    return [
        {"kind": kind, **place, "model": model, "value": mean.value, "reason": mean.reason}
        for model, mean in zip(scored.models, means, strict=True)
    ]
