"""A check of the tables as they are written: against the scores, each other, and the published values."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from compactbio.errors import UserError
from compactbio.kinds import KINDS
from compactbio.kinds.kind import REFERENCE, STANDARD
from compactbio.reporting.efficiency.measurements import FORMS, INT8, ONNX, TORCH
from compactbio.reporting.published import Assignment
from compactbio.reporting.report_records import TABLES
from compactbio.reporting.score_cells import ScoreCells, build_cells
from compactbio.reporting.statistics.estimates import MEAN
from compactbio.reporting.tables.averages import averages
from compactbio.scoring.score_rows import Score
from compactbio.settings.results import Tables

Table = list[dict[str, str]]
Place = tuple[str, str, str, str]  # dataset, model, protocol, metric

_TOLERANCE = 1e-9  # of numbers that are the same but for the order of a sum, in percent
_COMPARED = 1e-4  # of means in the table of comparisons, whose counts per example are kept in 32 bits, in percent


def read_tables(folder: Path) -> dict[str, Table]:
    """Return the rows of every table in a folder that build_tables wrote, by the table's name.

    Raises:
        UserError: a table is missing.
    """
    paths = {name: Tables(folder).table(name, "csv") for name in sorted(table.name for table in TABLES)}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise UserError(f"{folder} has no {', '.join(missing)}: run build_tables first")
    tables = {}
    for name, path in paths.items():
        with path.open(encoding="utf-8", newline="") as stream:
            tables[name] = list(csv.DictReader(stream))
    return tables


def find_table_problems(
    tables: Mapping[str, Table],
    scores: Sequence[Score],
    *,
    models: Sequence[str],
    datasets: Mapping[str, str],
    assignment: Assignment,
) -> list[str]:
    """Return everything in which a finished run's tables, as written, differ from its scores or from each other.

    Args:
        tables: from `read_tables`.
        scores: all scores of the run.
        models, datasets: what was run, datasets with their kind of task.
        assignment: where each published row belongs.
    """
    scored = build_cells(scores, models=models, datasets=datasets, baseline="")
    return [
        *_not_numbers(tables),
        *(problem for task in KINDS for problem in _cells(task, tables[task], scored)),
        *_same_elsewhere(tables, scored),
        *_averages(tables["summary"], scored),
        *_published(tables, assignment),
        *_deployment(tables, scores, models),
    ]


def _place(row: Mapping[str, str]) -> Place:
    """Return which cell a row is of."""
    return (row["dataset"], row["model"], row["protocol"], row["metric"])


def _not_numbers(tables: Mapping[str, Table]) -> list[str]:
    """Refuse cells that are not a number or infinite."""
    return [
        f"table {name}: {column} is {value} in the row {' / '.join(list(row.values())[:5])}"
        for name, rows in tables.items()
        for row in rows
        for column, value in row.items()
        if value and value.strip().lower().lstrip("+-") in ("nan", "inf", "infinity", "none", "null")
    ]


def _cells(task: str, rows: Table, scored: ScoreCells) -> list[str]:
    """Check that a table has each required cell once and none of another run, each as the scores give it."""
    found = Counter(map(_place, rows))
    wanted = {
        place
        for place, cell in scored.cells.items()
        if cell.task == task and cell.metric in KINDS[task].metrics_of(cell.protocol)
    }
    problems = [f"table {task} lacks the row {' / '.join(place)}" for place in sorted(wanted - found.keys())]
    problems += [f"table {task} has the row {' / '.join(p)} {count} times" for p, count in found.items() if count > 1]
    for row in rows:
        place = _place(row)
        cell = scored.cells.get(place)
        if cell is None:
            problems.append(f"table {task} has the row {' / '.join(place)}, which is not part of this run")
            continue
        for column, value in {"mean": cell.mean, "runs": float(cell.runs), "std": cell.std}.items():
            if not (row[column] == "" if value is None else _close(row[column], value)):
                where = f"table {task}, {' / '.join(place)}"
                problems.append(f"{where}: {column} is {row[column] or 'empty'}, the scores give {value}")
    return problems


def _same_elsewhere(tables: Mapping[str, Table], scored: ScoreCells) -> list[str]:
    """Check that a cell has the same mean in the tables of replication and comparisons."""
    shown = [("replication", row, row["mean"], _TOLERANCE) for row in tables["replication"] if row["mean"]]
    shown += [("comparisons", row, row["value"], _COMPARED) for row in tables["comparisons"] if row["kind"] == MEAN]
    problems = []
    for name, row, value, tolerance in shown:
        cell = scored.cells.get(_place(row))
        mean = None if cell is None else cell.mean
        if mean is None or not _close(value, mean, tolerance):
            problems.append(f"table {name}, {' / '.join(_place(row))}: {value}, but the scores give {mean}")
    return problems


def _averages(rows: Table, scored: ScoreCells) -> list[str]:
    """Check the summary's averages against those of the scores."""
    expected = {protocol: averages(scored, protocol) for protocol in (REFERENCE, STANDARD)}
    problems = []
    for row in rows:
        value = expected[row["protocol"]][row["model"]][row["task"]].value
        if not (row["average"] == "" if value is None else _close(row["average"], value)):
            where = f"table summary, {row['protocol']} / {row['model']} / {row['task']}"
            problems.append(f"{where}: average {row['average']} is not that of the cells of {row['datasets']}")
    return problems


def _published(tables: Mapping[str, Table], assignment: Assignment) -> list[str]:
    """Check that each confirmed published value stands in its cell, and each other row in the replication table."""
    problems = []
    shown = {_place(row): row["published"] for name in KINDS for row in tables[name]}
    for value in assignment.matched:
        if not _close(shown.get(value.cell, ""), value.value):
            problems.append(f"published {value.value} of {' / '.join(value.cell)} does not stand in its cell")
    listed = [(_place(row), row["published"]) for row in tables.get("replication", [])]
    for value in (*assignment.matched, *assignment.unconfirmed, *assignment.unassigned, *assignment.outside):
        if not any(place == value.cell and _close(text, value.value) for place, text in listed):
            problems.append(f"published {value.value} of {' / '.join(value.cell)} is missing in the table replication")
    return problems


def _deployment(tables: Mapping[str, Table], scores: Sequence[Score], models: Sequence[str]) -> list[str]:
    """Check, where models were measured for deployment, that none is missing in any form, their scores and sizes.

    Torch's score has to be the one that score_model gave the same run; an int8 file is smaller than the same in fp32.
    """
    rows = [row for row in tables.get("efficiency", []) if row["form"]]
    known = {(score.dataset, score.model, score.run, score.protocol, score.metric): score.value for score in scores}
    problems: list[str] = []
    sizes: dict[tuple[str, str], int] = {}
    scored: set[tuple[str, str]] = set()
    for row in rows:
        where = f"table efficiency, {row['model']} / {row['form']} / {row['quantity']}"
        if row["quantity"] == "file size":
            sizes[row["model"], row["form"]] = int(row["median"])
        elif row["quantity"] in {kind.headline for kind in KINDS.values()}:
            scored.add((row["model"], row["form"]))
            wanted = known.get((row["dataset"], row["model"], row["run"], row["protocol"], row["quantity"]))
            if row["form"] == TORCH and (wanted is None or not _close(row["median"], 100 * wanted)):
                found = "has no score" if wanted is None else f"scored {100 * wanted}"
                problems.append(f"{where}: {row['median']}, but {row['run']} on {row['dataset']} {found}")
        elif not float(row["median"]) > 0:
            problems.append(f"{where}: {row['median']} is not positive")
    for model in models if rows else ():
        lacking = [form for form in FORMS if (model, form) not in sizes or (model, form) not in scored]
        problems += [f"table efficiency lacks {model} / {form}" for form in lacking]
        if not lacking and sizes[model, INT8] >= sizes[model, ONNX]:
            problems.append(f"table efficiency, {model}: its int8 file is not smaller than the one in fp32")
    return problems


def _close(text: str, value: float, tolerance: float = _TOLERANCE) -> bool:
    """Return whether a cell holds a number."""
    return bool(text) and math.isclose(float(text), value, rel_tol=_TOLERANCE, abs_tol=tolerance)
