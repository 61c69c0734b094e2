"""A check of the tables as they are written: against the scores, against each other, against the published values.

It reads the CSV files and computes again what it compares, without the code that made them.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from compactbio.errors import UserError
from compactbio.kinds import COUNTS, KINDS
from compactbio.reporting.efficiency.measurements import FORMS, INT8, ONNX, TORCH
from compactbio.reporting.published import Assignment
from compactbio.reporting.statistics.estimates import MEAN
from compactbio.scoring.score_rows import Score

Table = list[dict[str, str]]
Place = tuple[str, str, str, str]  # dataset, model, protocol, metric

_TOLERANCE = 1e-9  # of numbers that are the same but for the order of a sum, in percent
_COMPARED = 1e-4  # of means in the table of comparisons, whose counts per example are kept in 32 bits, in percent


def read_tables(folder: Path) -> dict[str, Table]:
    """Return the rows of every CSV table in a folder, by the table's name.

    Raises:
        UserError: a table of a kind of task is missing.
    """
    tables = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as stream:
            tables[path.stem] = list(csv.DictReader(stream))
    missing = [name for name in KINDS if name not in tables]
    if missing:
        raise UserError(f"{folder} has no {', '.join(f'{name}.csv' for name in missing)}: run build_tables first")
    return tables


def find_table_problems(
    tables: Mapping[str, Table],
    scores: Sequence[Score],
    *,
    models: Sequence[str],
    datasets: Mapping[str, str],
    assignment: Assignment,
) -> list[str]:
    """Return everything that is wrong with a finished run's tables, one sentence each; empty if nothing is.

    Args:
        tables: from `read_tables`.
        scores: all scores of the run.
        models, datasets: what was run, datasets with their kind of task.
        assignment: where each published row belongs.
    """
    cells = {_place(row): row for name in KINDS for row in tables[name]}
    return [
        *_not_numbers(tables),
        *_counts(tables, models, datasets),
        *_means(cells, scores),
        *_same_elsewhere(tables, cells),
        *_averages(tables, cells),
        *_published(tables, cells, assignment),
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


def _counts(tables: Mapping[str, Table], models: Sequence[str], datasets: Mapping[str, str]) -> list[str]:
    """Check that each model has each required cell of each dataset once, and none of anything else."""
    problems = []
    for task, kind in KINDS.items():
        found: dict[Place, int] = defaultdict(int)
        for row in tables[task]:
            found[_place(row)] += 1
        wanted = {
            (dataset, model, protocol, metric)
            for dataset, name in datasets.items()
            if task == name
            for model in models
            for protocol in kind.protocol_names
            for metric in kind.metric_names
        }
        problems += [f"table {task} lacks the row {' / '.join(place)}" for place in sorted(wanted - found.keys())]
        for place, count in found.items():
            if count > 1:
                problems.append(f"table {task} has the row {' / '.join(place)} {count} times")
            if place[0] not in datasets or place[1] not in models:
                problems.append(f"table {task} has the row {' / '.join(place)}, which is not part of this run")
    return problems


def _means(cells: Mapping[Place, Mapping[str, str]], scores: Sequence[Score]) -> list[str]:
    """Check mean, standard deviation, number of runs and range of each cell against the scores."""
    values: dict[Place, list[float]] = defaultdict(list)
    for score in scores:
        factor = 1 if score.metric in COUNTS else 100
        values[score.dataset, score.model, score.protocol, score.metric].append(factor * score.value)
    problems = []
    for place, row in cells.items():
        runs = values.get(place, [])
        where = f"table {row['table']}, {' / '.join(place)}"
        if not runs:
            if row["mean"]:
                problems.append(f"{where}: mean {row['mean']}, but there are no scores")
            continue
        wanted = {"mean": statistics.fmean(runs), "runs": float(len(runs))}
        wanted |= {"std": statistics.stdev(runs)} if len(runs) > 1 else {}
        for column, value in wanted.items():
            if not _close(row[column], value):
                problems.append(f"{where}: {column} is {row[column] or 'empty'}, the scores give {value}")
        if place[3] not in COUNTS and row["mean"] and not 0 <= float(row["mean"]) <= 100:
            problems.append(f"{where}: mean {row['mean']} is no percentage")
        if row["std"] and not 0 <= float(row["std"]) < math.inf:
            problems.append(f"{where}: standard deviation {row['std']}")
    return problems


def _same_elsewhere(tables: Mapping[str, Table], cells: Mapping[Place, Mapping[str, str]]) -> list[str]:
    """Check that a cell has the same mean in the tables of replication and comparisons."""
    problems = []
    replication = [row for row in tables.get("replication", []) if row["mean"]]
    means = [row for row in tables.get("comparisons", []) if row["kind"] == MEAN]
    shown = [("replication", row, row["mean"], _TOLERANCE) for row in replication]
    shown += [("comparisons", row, row["value"], _COMPARED) for row in means]
    for name, row, value, tolerance in shown:
        place = _place(row)
        own = cells.get(place)
        if own is None or not _close(own["mean"], float(value), tolerance):
            told = "no such row" if own is None else own["mean"] or "an empty cell"
            problems.append(f"table {name}, {' / '.join(place)}: {value}, but the table of its task has {told}")
    return problems


def _averages(tables: Mapping[str, Table], cells: Mapping[Place, Mapping[str, str]]) -> list[str]:
    """Check the summary's averages per kind of task against the tables of the tasks."""
    problems = []
    for row in tables.get("summary", []):
        task = row["task"]
        if task not in KINDS or not row["average"]:
            continue
        protocol = row["protocol"] if row["protocol"] in KINDS[task].protocol_names else KINDS[task].protocol_names[0]
        places = [(dataset, row["model"], protocol, row["metric"]) for dataset in row["datasets"].split()]
        means = [cells[place]["mean"] for place in places if place in cells]
        if len(means) < len(places) or "" in means or not _close(row["average"], statistics.fmean(map(float, means))):
            where = f"table summary, {row['protocol']} / {row['model']} / {task}"
            problems.append(f"{where}: average {row['average']} is not that of the cells of {row['datasets']}")
    return problems


def _published(
    tables: Mapping[str, Table], cells: Mapping[Place, Mapping[str, str]], assignment: Assignment
) -> list[str]:
    """Check that each confirmed published value stands in its cell, and each other row in the replication table."""
    problems = []
    for value in assignment.matched:
        row = cells.get(value.cell)
        if row is None or not _close(row["published"], value.value):
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
    problems, sizes, scored = [], {}, set()
    for row in rows:
        where = f"table efficiency, {row['model']} / {row['form']} / {row['quantity']}"
        if row["quantity"] == "file size":
            sizes[row["model"], row["form"]] = int(row["median"])
        elif row["quantity"] in {kind.headline for kind in KINDS.values()}:
            scored.add((row["model"], row["form"]))
            wanted = known.get((row["dataset"], row["model"], row["run"], row["protocol"], row["quantity"]))
            if row["form"] == TORCH and (wanted is None or not _close(row["median"], 100 * wanted)):
                told = "has no score" if wanted is None else f"scored {100 * wanted}"
                problems.append(f"{where}: {row['median']}, but {row['run']} on {row['dataset']} {told}")
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
