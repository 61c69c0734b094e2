"""The tables of one kind of task: an overview of its headline metric, then all metrics per dataset."""

from __future__ import annotations

from collections.abc import Sequence

from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.kinds.kind import REFERENCE
from compactbio.reporting.grouping import grouped
from compactbio.reporting.material import Built, Material, Row
from compactbio.reporting.published import Assignment
from compactbio.reporting.render import DASH, MARKS_NOTE, Block, Document, Section, number, row, signed
from compactbio.reporting.score_cells import NOT_CONFIRMED, Cell, ScoreCells
from compactbio.reporting.statistics.estimates import MEAN, Estimate, by_model
from compactbio.reporting.tables.comparisons import difference_notes
from compactbio.reporting.tables.metric_variants import seen_notes, variant_blocks
from compactbio.reporting.tables.score_columns import Column, block_of, cell_record, gap_notes, mean_column

UNITS_NOTE = (
    "Percent. Mean ± sample standard deviation over the runs made here (seeds, or folds where a dataset has them); a "
    "value without ± comes from one run."
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
    for protocol in assignment.in_order(KINDS[task].protocol_names):
        blocks = [_overview(task, protocol, datasets, scored)] if len(datasets) > 1 else []
        for dataset in datasets:
            block = _dataset_block(task, protocol, dataset, scored, assignment)
            block.notes += difference_notes(dataset, protocol, scored, estimates)
            blocks.append(block)
            blocks += variant_blocks(task, protocol, dataset, scored)
        text = [KINDS[task].explanation(protocol, compared=not assignment.is_empty)]
        document.sections.append(Section(f"{protocol.capitalize()} protocol", text, blocks))
    return document


def _overview(task: str, protocol: str, datasets: Sequence[str], scored: ScoreCells) -> Block:
    """Return models by datasets with the mean of the headline metric."""
    metric = KINDS[task].headline
    cells = {dataset: scored.column(dataset, protocol, metric) for dataset in datasets}
    columns = [mean_column(dataset, column, deviations=False) for dataset, column in cells.items()]
    gaps = gap_notes([cell for column in cells.values() for cell in column], scored)
    title = f"{METRIC_TITLES[metric]} of all datasets"
    return block_of(title, f"{task}-{protocol}-{metric}", columns, scored, gaps)


def _dataset_block(task: str, protocol: str, dataset: str, scored: ScoreCells, assignment: Assignment) -> Block:
    """Return one dataset's metrics by model, with published values beside the metrics that have some."""
    columns: list[Column] = []
    notes: list[str] = []
    seen: list[Cell] = []
    headline = KINDS[task].headline
    optional = (one.name for one in KINDS[task].optional)
    found = (name for name in optional if any(cell.runs for cell in scored.column(dataset, protocol, name)))
    for metric in (*KINDS[task].metrics_of(protocol), *found):
        cells = scored.column(dataset, protocol, metric)
        seen += cells
        columns.append(mean_column(METRIC_TITLES[metric], cells))
        published = [cell.published for cell in cells]
        if any(published):
            columns.append(("published", row(*(number(value.value if value else None) for value in published))))
            if any(value and value.is_comparable for value in published):
                columns.append(("difference", row(*(signed(cell.difference) for cell in cells))))
            notes += _published_notes(metric, cells)
        elif metric == headline and protocol == REFERENCE and not assignment.is_empty:
            notes.append(f"No published {METRIC_TITLES[metric]} of a known model is confirmed for {dataset}.")
    runs = (str(cell.runs) if cell.runs else DASH for cell in scored.column(dataset, protocol, headline))
    columns.append(("runs", row(*runs)))
    notes = [
        *gap_notes(seen, scored),
        *notes,
        *_loose_notes(dataset, protocol, assignment),
        *_entity_notes(task, protocol, dataset, scored),
        *seen_notes(task, protocol, dataset, scored),
    ]
    return block_of(dataset, f"{task}-{protocol}-{dataset}".lower(), columns, scored, notes)


def _published_notes(metric: str, cells: Sequence[Cell]) -> list[str]:
    """Return the sources of the published values of one column, and what its dashes mean."""
    sources = grouped((cell.published.source, cell.model) for cell in cells if cell.published)
    notes = [f"Published {METRIC_TITLES[metric]} of {', '.join(models)}: {text}." for text, models in sources.items()]
    if any(cell.published is None for cell in cells):
        notes.append(f"{DASH} in the column published = {NOT_CONFIRMED}.")
    if any(cell.difference is not None for cell in cells):
        notes.append("Difference: ours less published, percent points; the verdict stands in the table replication.")
    return notes


def _loose_notes(dataset: str, protocol: str, assignment: Assignment) -> list[str]:
    """Return the published values of a dataset that stand beside no cell: without a model, or unconfirmed."""
    notes = []
    for words, values in (
        ("not assigned to a model:", assignment.unassigned),
        ("not confirmed, decides nothing:", assignment.unconfirmed),
    ):
        for value in values:
            if (value.dataset, value.protocol) == (dataset, protocol):
                parts = ("Published,", words, value.model, METRIC_TITLES[value.metric], number(value.value))
                notes.append(f"{' '.join(part for part in parts if part)} ({value.source}).")
    return notes


def _entity_notes(task: str, protocol: str, dataset: str, scored: ScoreCells) -> list[str]:
    """Return how many gold entities were scored, by model where vocabularies make them differ."""
    if "entities" not in KINDS[task].count_names:
        return []
    cells = scored.column(dataset, protocol, "entities")
    models_of = grouped((cell.mean, cell.model) for cell in cells if cell.mean is not None)
    if len(models_of) == 1:
        return [f"Gold entities: {next(iter(models_of)):,.0f}."]
    parts = [f"{count:,.0f} ({', '.join(models)})" for count, models in sorted(models_of.items())]
    return [f"Gold entities: {'; '.join(parts)}."] if parts else []


def task_records(task: str, scored: ScoreCells, estimates: Sequence[Estimate] = ()) -> list[Row]:
    """Return one tidy row per cell of a task's tables, every digit kept; empty where there is nothing."""
    kind, means = KINDS[task], by_model(estimates, MEAN)
    records: list[Row] = []
    for cell in scored.cells.values():
        if cell.task != task or (cell.mean is None and not cell.is_required):
            continue
        record = cell_record(cell) | {"table": task, "difference": cell.difference}
        interval = means.get((cell.dataset, cell.protocol, cell.model)) if cell.metric == kind.headline else None
        if interval:
            record |= {"low": interval.low, "high": interval.high}
        if cell.published:
            record |= {"published": cell.published.value, "published_source": cell.published.source}
        records.append(record)
    return records
