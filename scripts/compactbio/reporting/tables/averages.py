"""The summary: averages per kind of task and over the kinds, and what share of the baseline's they are."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from compactbio.kinds import KINDS, METRIC_TITLES, scored_by
from compactbio.kinds.kind import STANDARD
from compactbio.reporting.grouping import grouped
from compactbio.reporting.material import Built, Material, Row
from compactbio.reporting.published import SUMMARY, Assignment
from compactbio.reporting.render import MARKS_NOTE, Block, Document, Entry, Section, gap_note, number
from compactbio.reporting.report_records import BOTH
from compactbio.reporting.score_cells import Cell, ScoreCells, rank_marks

ALL = "all"  # kinds of task together


class Average(NamedTuple):
    """An average or a share in percent, or None with the reason."""

    value: float | None
    reason: str = ""


Averages = Mapping[str, Mapping[str, Average]]  # by model, then by kind of task or `ALL`


def build(material: Material) -> Built:
    """Return the table, a section per protocol."""
    return summary_document(material.scored, material.assignment), summary_records(material.scored)


def averages(scored: ScoreCells, protocol: str) -> Averages:
    """Return the averages of a protocol; kinds of task that lack it are averaged by the standard one.

    Per kind of task: the mean over its datasets of the headline metric's mean over runs. Over all kinds: the mean
    of those, each kind counting once. A model that lacks a dataset has no average, since it would not compare.
    """
    table: dict[str, dict[str, Average]] = {}
    for model in scored.models:
        by_task = {}
        for task, kind in KINDS.items():
            used = protocol if protocol in kind.protocol_names else STANDARD
            cells = [scored.cell(dataset, model, used, kind.headline) for dataset in scored.datasets_of(task)]
            if cells:
                means = [cell.mean for cell in cells if cell.mean is not None]
                whole = len(means) == len(cells)
                by_task[task] = Average(statistics.fmean(means)) if whole else Average(None, _reason(cells))
        values = [average.value for average in by_task.values() if average.value is not None]
        reasons = dict.fromkeys(average.reason for average in by_task.values() if average.reason)
        whole = bool(values) and len(values) == len(by_task)
        overall = Average(statistics.fmean(values)) if whole else Average(None, "; ".join(reasons))
        table[model] = {**by_task, ALL: overall}
    return table


def _reason(cells: Sequence[Cell]) -> str:
    """Return why an average over these cells is missing: the one reason of all, or each gap with its own."""
    reasons = {cell.reason for cell in cells}
    if len(reasons) == 1:
        return reasons.pop()
    return ", ".join(f"{cell.dataset} {cell.reason}" for cell in cells if cell.mean is None)


def retained(table: Averages, baseline: str) -> Averages:
    """Return every average as a percentage of the baseline model's."""
    bases = table.get(baseline, {})
    return {
        model: {task: _share(average, bases.get(task, Average(None)).value, baseline) for task, average in row.items()}
        for model, row in table.items()
    }


def _share(average: Average, base: float | None, baseline: str) -> Average:
    """Return one average as a percentage of the baseline's."""
    if average.value is None:
        return average
    if base is None:
        return Average(None, f"no average of the baseline {baseline}")
    if base <= 0:
        return Average(None, f"the average of the baseline {baseline} is not above 0")
    return Average(100 * (average.value / base))


def _definition(scored: ScoreCells, *, compared: bool) -> list[str]:
    """Return the paragraphs that say what is averaged."""
    parts = [
        f"{kind.short}: mean {METRIC_TITLES[kind.headline]} over {', '.join(scored.datasets_of(task))}"
        for task, kind in KINDS.items()
        if scored.datasets_of(task)
    ]
    return [
        f"Percent. Averages of the means over runs. {'; '.join(parts)}. All: mean of these averages, each kind of task "
        "counting once. A model that lacks a dataset has no average.",
        f"Share of the baseline: 100 × average / average of {scored.baseline}."
        + " How the paper averages for its own percentages is not known: they do not compare digit by digit."
        * compared,
        MARKS_NOTE,
    ]


def _scored_by(protocol: str, tasks: Sequence[str]) -> str:
    """Return which of a run's kinds of task a protocol scores."""
    having, lacking = scored_by(protocol, tasks)
    if not lacking:
        return f"All tasks by the {protocol} protocol."
    first = f"{' and '.join(kind.short for kind in having)} by the {protocol} protocol; " if having else ""
    return f"{first}{', '.join(kind.short for kind in lacking)} by the {STANDARD} one, since there is no other."


def summary_document(scored: ScoreCells, assignment: Assignment) -> Document:
    """Return the summary table, a section per protocol."""
    tasks = [task for task in KINDS if scored.datasets_of(task)]
    columns = [*tasks, ALL] if len(tasks) > 1 else tasks
    document = Document("Summary", _definition(scored, compared=not assignment.is_empty), [])
    document.text.extend(
        f"Published, not assigned to a model: up to {number(value.value, 1)} % of the baseline ({value.source})."
        for value in assignment.unassigned
        if value.table == SUMMARY
    )
    for protocol in assignment.in_order(BOTH) if tasks else ():
        table = averages(scored, protocol)
        shares = retained(table, scored.baseline)
        blocks = [
            _block("Averages", f"summary-{protocol}", table, columns, marked=True),
            _block(f"Percent of {scored.baseline}", f"retained-{protocol}", shares, columns, marked=False),
        ]
        document.sections.append(Section(f"{protocol.capitalize()} protocol", [_scored_by(protocol, tasks)], blocks))
    return document


def _block(title: str, label: str, table: Averages, columns: Sequence[str], *, marked: bool) -> Block:
    """Return models by kinds of task, with the reasons of the gaps under it."""
    rows = [[Entry(model)] for model in table]
    for task in columns:
        values = [by_task[task].value for by_task in table.values()]
        marks = rank_marks(values) if marked else [""] * len(values)
        for entries, value, mark in zip(rows, values, marks, strict=True):
            entries.append(Entry(number(value), mark))
    gaps = grouped((by_task[columns[-1]].reason, model) for model, by_task in table.items())
    header = ["model", *(ALL if task == ALL else KINDS[task].short for task in columns)]
    return Block(title, label, header, rows, [note for gap in gaps.items() if gap[0] for note in gap_note(*gap)])


def summary_records(scored: ScoreCells) -> list[Row]:
    """Return one tidy row per protocol, model and kind of task, every digit kept."""
    records: list[Row] = []
    for protocol in BOTH:
        table = averages(scored, protocol)
        shares = retained(table, scored.baseline)
        for model, by_task in table.items():
            for task, average in by_task.items():
                share = shares[model][task]
                records.append(
                    {
                        "protocol": protocol,
                        "model": model,
                        "task": task,
                        "metric": "mean of the kinds of task" if task == ALL else KINDS[task].headline,
                        "datasets": " ".join(scored.datasets if task == ALL else scored.datasets_of(task)),
                        "average": average.value,
                        "percent_of_baseline": share.value,
                        "reason": average.reason or share.reason,
                    }
                )
    return records
