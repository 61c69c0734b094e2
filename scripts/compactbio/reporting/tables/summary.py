"""The summary: averages per kind of task and over the kinds, and what share of the baseline's they are."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.kinds.kind import REFERENCE, STANDARD
from compactbio.reporting.published import SUMMARY, Assignment
from compactbio.reporting.render import DASH, MARKS_NOTE, Block, Document, Entry, Section, number
from compactbio.reporting.score_cells import Cell, ScoreCells, rank_marks

ALL = "all"
RECORD_COLUMNS = ("protocol", "model", "task", "metric", "datasets", "average", "percent_of_baseline", "reason")


def averages(scored: ScoreCells, protocol: str) -> dict[str, dict[str, tuple[float | None, str]]]:
    """Return for each model and each kind of task (and `all`) the average in percent, or None with the reason.

    Per kind of task: the mean over its datasets of the headline metric's mean over runs. Over all kinds: the mean
    of those, each kind counting once. A model that lacks a dataset has no average, since it would not compare.
    """
    tasks = [task for task in KINDS if scored.datasets_of(task)]
    table: dict[str, dict[str, tuple[float | None, str]]] = {}
    for model in scored.models:
        row: dict[str, tuple[float | None, str]] = {}
        for task in tasks:
            used = protocol if protocol in KINDS[task].protocol_names else STANDARD
            cells = [scored.cell(dataset, model, used, KINDS[task].headline) for dataset in scored.datasets_of(task)]
            missing = [cell for cell in cells if cell.mean is None]
            row[task] = (None, _reason(cells)) if missing else (statistics.fmean(cell.mean for cell in cells), "")
        values = [value for value, _ in row.values()]
        reasons = "; ".join(dict.fromkeys(reason for _, reason in row.values() if reason))
        row[ALL] = (None, reasons) if None in values or not values else (statistics.fmean(values), "")
        table[model] = row
    return table


def _reason(cells: Sequence[Cell]) -> str:
    """Return why an average over these cells is missing: the one reason of all, or each gap with its own."""
    reasons = {cell.reason for cell in cells}
    if len(reasons) == 1:
        return reasons.pop()
    return ", ".join(f"{cell.dataset} {cell.reason}" for cell in cells if cell.mean is None)


def retained(
    table: dict[str, dict[str, tuple[float | None, str]]], baseline: str
) -> dict[str, dict[str, tuple[float | None, str]]]:
    """Return every average as a percentage of the baseline model's, or None with the reason."""
    shares: dict[str, dict[str, tuple[float | None, str]]] = {}
    for model, row in table.items():
        shares[model] = {}
        for task, (value, reason) in row.items():
            base = table.get(baseline, {}).get(task, (None, ""))[0]
            if value is None:
                shares[model][task] = (None, reason)
            elif base is None:
                shares[model][task] = (None, f"no average of the baseline {baseline}")
            elif base == 0:
                shares[model][task] = (None, f"the average of the baseline {baseline} is 0")
            else:
                shares[model][task] = (100 * (value / base), "")
    return shares


def _definition(scored: ScoreCells, baseline: str) -> list[str]:
    """Return the paragraphs that say what is averaged."""
    parts = [
        f"{KINDS[task].short}: mean {METRIC_TITLES[KINDS[task].headline]} over {', '.join(scored.datasets_of(task))}"
        for task in KINDS
        if scored.datasets_of(task)
    ]
    return [
        f"Percent. Averages of the means over runs. {'; '.join(parts)}. All: mean of these averages, each kind of task "
        "counting once. A model that lacks a dataset has no average.",
        f"Share of the baseline: 100 × average / average of {baseline}. How the paper averages for its own percentages "
        "is not known, so they do not compare digit by digit.",
        MARKS_NOTE,
    ]


def summary_document(scored: ScoreCells, assignment: Assignment) -> Document:
    """Return the summary table, a section per protocol."""
    tasks = [task for task in KINDS if scored.datasets_of(task)]
    document = Document("Summary", _definition(scored, scored.baseline), [])
    document.text.extend(
        f"Published, not assigned to a model: up to {number(value.value, 1)} % of the baseline ({value.source})."
        for value in assignment.unassigned
        if value.table == SUMMARY
    )
    for protocol in (REFERENCE, STANDARD) if tasks else ():
        table = averages(scored, protocol)
        shares = retained(table, scored.baseline)
        columns = [*tasks, ALL] if len(tasks) > 1 else tasks
        text = "NER and QA by the reference protocol; relation extraction has the standard one only."
        if protocol == STANDARD:
            text = "All tasks by the standard protocol."
        blocks = [
            _block("Averages", f"summary-{protocol}", table, columns, scored, marked=True),
            _block(f"Percent of {scored.baseline}", f"retained-{protocol}", shares, columns, scored, marked=False),
        ]
        document.sections.append(Section(f"{protocol.capitalize()} protocol", [text], blocks))
    return document


def _block(
    title: str,
    label: str,
    table: dict[str, dict[str, tuple[float | None, str]]],
    columns: Sequence[str],
    scored: ScoreCells,
    *,
    marked: bool,
) -> Block:
    """Return models by kinds of task, with the reasons of the gaps under it."""
    entries = []
    for task in columns:
        values = [table[model][task][0] for model in scored.models]
        marks = rank_marks(values) if marked else [""] * len(values)
        entries.append([Entry(number(value), mark) for value, mark in zip(values, marks, strict=True)])
    models_of: dict[str, list[str]] = {}
    for model in scored.models:
        reason = table[model][columns[-1]][1]
        if reason:
            models_of.setdefault(reason, []).append(model)
    return Block(
        title=title,
        label=label,
        header=["model", *((ALL if task == ALL else KINDS[task].short) for task in columns)],
        rows=[[Entry(model), *(column[i] for column in entries)] for i, model in enumerate(scored.models)],
        notes=[f"{DASH} = {reason}: {', '.join(models)}." for reason, models in models_of.items()],
    )


def summary_records(scored: ScoreCells) -> list[dict[str, Any]]:
    """Return one tidy row per protocol, model and kind of task, every digit kept."""
    records = []
    for protocol in (REFERENCE, STANDARD):
        table = averages(scored, protocol)
        shares = retained(table, scored.baseline)
        for model in scored.models:
            for task, (value, reason) in table[model].items():
                share, share_reason = shares[model][task]
                names = scored.datasets_of(task) if task != ALL else list(scored.datasets)
                records.append(
                    {
                        "protocol": protocol,
                        "model": model,
                        "task": task,
                        "metric": "mean of the kinds of task" if task == ALL else KINDS[task].headline,
                        "datasets": " ".join(names),
                        "average": value,
                        "percent_of_baseline": share,
                        "reason": reason or share_reason,
                    }
                )
    return records
