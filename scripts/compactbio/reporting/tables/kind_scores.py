"""The tables of one kind of task: an overview of its headline metric, then all metrics per dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from compactbio.kinds import COUNTS, KINDS, METRIC_TITLES
from compactbio.kinds.kind import REFERENCE
from compactbio.reporting.material import Built, Material, Row
from compactbio.reporting.published import Assignment, PublishedValue
from compactbio.reporting.render import (
    DASH,
    MARKS_NOTE,
    Block,
    Document,
    Entry,
    Section,
    mean_and_std,
    number,
    signed,
)
from compactbio.reporting.score_cells import NOT_CONFIRMED, Cell, ScoreCells
from compactbio.reporting.statistics.estimates import MEAN, Estimate, by_model
from compactbio.reporting.tables.comparisons import difference_notes
from compactbio.reporting.tables.metric_variants import seen_notes, variant_blocks
from compactbio.reporting.tables.score_columns import gap_notes, marked_column

UNITS_NOTE = (
    "Percent. Mean ± sample standard deviation over the runs (seeds, or folds where a dataset has them); "
    "a value without ± comes from one run."
)


def build(material: Material, task: str) -> Built:
    """Return the tables of one kind of task."""
    scored, estimates = material.scored, material.estimates
    return task_document(task, scored, material.assignment, estimates), task_records(task, scored, estimates)


def task_document(
    task: str, scored: ScoreCells, assignment: Assignment, estimates: Sequence[Estimate] = ()
) -> Document:
    """Return the tables of one kind of task, a section per protocol; `estimates` say which models differ."""
    datasets = scored.datasets_of(task)
    document = Document(KINDS[task].title, [UNITS_NOTE, MARKS_NOTE], [])
    if not datasets:
        document.text = ["No dataset of this kind is part of this run."]
        return document
    for protocol in KINDS[task].protocol_names:
        blocks = []
        if len(datasets) > 1:
            blocks.append(_overview(task, protocol, datasets, scored))
        for dataset in datasets:
            block = _dataset_block(task, protocol, dataset, scored, assignment)
            block.notes += difference_notes(dataset, protocol, scored, estimates)
            blocks.append(block)
            blocks += variant_blocks(task, protocol, dataset, scored)
        document.sections.append(
            Section(f"{protocol.capitalize()} protocol", [KINDS[task].explanation(protocol)], blocks)
        )
    return document


def _overview(task: str, protocol: str, datasets: Sequence[str], scored: ScoreCells) -> Block:
    """Return models by datasets with the mean of the headline metric."""
    metric = KINDS[task].headline
    columns = [[scored.cell(dataset, model, protocol, metric) for model in scored.models] for dataset in datasets]
    entries = [marked_column([number(cell.mean) for cell in column], column) for column in columns]
    rows = [[Entry(model), *(column[i] for column in entries)] for i, model in enumerate(scored.models)]
    return Block(
        title=f"{METRIC_TITLES[metric]} of all datasets",
        label=f"{task}-{protocol}-{metric}",
        header=["model", *datasets],
        rows=rows,
        notes=gap_notes([cell for column in columns for cell in column], scored),
    )


def _dataset_block(task: str, protocol: str, dataset: str, scored: ScoreCells, assignment: Assignment) -> Block:
    """Return one dataset's metrics by model, with published values beside the metrics that have some."""
    header, columns, notes, seen = ["model"], [], [], []
    for metric in KINDS[task].metrics_of(protocol):
        cells = [scored.cell(dataset, model, protocol, metric) for model in scored.models]
        seen.extend(cells)
        header.append(METRIC_TITLES[metric])
        columns.append(marked_column([mean_and_std(cell.mean, cell.std) for cell in cells], cells))
        if any(cell.published for cell in cells):
            header.append("published")
            columns.append([Entry(number(cell.published.value if cell.published else None)) for cell in cells])
            if any(cell.published and cell.published.is_comparable for cell in cells):
                header.append("difference")
                columns.append([Entry(signed(cell.difference)) for cell in cells])
            notes.extend(_published_notes(metric, cells))
        elif metric == KINDS[task].headline and protocol == REFERENCE and not assignment.is_empty:
            notes.append(f"No published {METRIC_TITLES[metric]} of a known model is confirmed for {dataset}.")
    header.append("runs")
    headline = [scored.cell(dataset, model, protocol, KINDS[task].headline) for model in scored.models]
    columns.append([Entry(str(cell.runs) if cell.runs else DASH) for cell in headline])
    rows = [[Entry(model), *(column[i] for column in columns)] for i, model in enumerate(scored.models)]
    return Block(
        title=dataset,
        label=f"{task}-{protocol}-{dataset}".lower(),
        header=header,
        rows=rows,
        notes=[
            *gap_notes(seen, scored),
            *notes,
            *loose_notes(dataset, protocol, assignment),
            *_entity_notes(task, protocol, dataset, scored),
            *seen_notes(task, protocol, dataset, scored),
        ],
    )


def _published_notes(metric: str, cells: Sequence[Cell]) -> list[str]:
    """Return the sources of the published values of one column, and what its dashes mean."""
    sources: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        if cell.published:
            sources[cell.published.source].append(cell.model)
    notes = [f"Published {METRIC_TITLES[metric]} of {', '.join(models)}: {text}." for text, models in sources.items()]
    if any(cell.published is None for cell in cells):
        notes.append(f"{DASH} in the column published = {NOT_CONFIRMED}.")
    if any(cell.difference is not None for cell in cells):
        notes.append("Difference: ours less published, percent points; the verdict stands in the table replication.")
    return notes


def loose_notes(dataset: str, protocol: str, assignment: Assignment) -> list[str]:
    """Return the published values of a dataset that stand beside no cell: without a model, or unconfirmed."""

    def here(values: Iterable[PublishedValue]) -> list[PublishedValue]:
        return [value for value in values if (value.dataset, value.protocol) == (dataset, protocol)]

    notes = [
        f"Published, not assigned to a model: {METRIC_TITLES[value.metric]} {number(value.value)} ({value.source})."
        for value in here(assignment.unassigned)
    ]
    notes.extend(
        f"Published, not confirmed, compared with nothing: {value.model} {METRIC_TITLES[value.metric]} "
        f"{number(value.value)} ({value.source})."
        for value in here(assignment.unconfirmed)
    )
    return notes


def _entity_notes(task: str, protocol: str, dataset: str, scored: ScoreCells) -> list[str]:
    """Return how many gold entities were scored, by model where vocabularies make them differ."""
    if "entities" not in KINDS[task].count_names:
        return []
    models_of: dict[float, list[str]] = defaultdict(list)
    for model in scored.models:
        count = scored.cell(dataset, model, protocol, "entities").mean
        if count is not None:
            models_of[count].append(model)
    if not models_of:
        return []
    if len(models_of) == 1:
        return [f"Gold entities: {next(iter(models_of)):,.0f}."]
    parts = (f"{count:,.0f} ({', '.join(models)})" for count, models in sorted(models_of.items()))
    return [f"Gold entities: {'; '.join(parts)}."]


def task_records(task: str, scored: ScoreCells, estimates: Sequence[Estimate] = ()) -> list[Row]:
    """Return one tidy row per cell of a task's tables, every digit kept; empty where there is nothing."""
    means = by_model(estimates, MEAN)
    records: list[Row] = []
    for dataset in scored.datasets_of(task):
        for protocol in KINDS[task].protocol_names:
            for model in scored.models:
                for metric in KINDS[task].known_metrics():
                    cell = scored.cell(dataset, model, protocol, metric)
                    if cell.mean is None and metric not in KINDS[task].metrics_of(protocol):
                        continue
                    interval = means.get((dataset, protocol, model)) if metric == KINDS[task].headline else None
                    records.append(
                        {
                            "table": task,
                            "dataset": dataset,
                            "model": model,
                            "protocol": protocol,
                            "metric": metric,
                            "unit": "count" if metric in COUNTS else "percent",
                            "mean": cell.mean,
                            "std": cell.std,
                            "runs": cell.runs,
                            "low": interval.low if interval else None,
                            "high": interval.high if interval else None,
                            "published": cell.published.value if cell.published else None,
                            "published_source": cell.published.source if cell.published else None,
                            "difference": cell.difference,
                            "reason": cell.reason,
                        }
                    )
    return records
