"""A check of the tables as they are written: against the scores, each other, and the published values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compactbio.kinds import KINDS
from compactbio.reporting.document_files import read_rows
from compactbio.reporting.efficiency.measurements import FORMS, INT8, ONNX, TORCH
from compactbio.reporting.material import Material
from compactbio.reporting.printed_cells import Printed, find_print_problems, read_printed
from compactbio.reporting.published import Assignment
from compactbio.reporting.report_records import BENCHMARK, PLACE, TableRecord, made_tables
from compactbio.reporting.score_cells import Cell, ScoreCells, build_cells
from compactbio.reporting.statistics.estimates import MEAN
from compactbio.reporting.tables.class_scores import class_lines
from compactbio.scoring.score_rows import ClassScore, Score
from compactbio.settings.benchmarks import Benchmark
from compactbio.settings.results import Tables

Table = list[dict[str, str]]

_TOLERANCE = 1e-9  # of numbers that are the same but for the order of a sum, in percent

# What scores and published values alone decide in a table: the columns that name a row, and those of its values.
_DECIDED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **{name: (PLACE, ("mean", "std", "runs", "published", "difference")) for name in KINDS},
    **{f"{name}_overview": (PLACE, ("mean", "std", "runs")) for name in KINDS},
    "classes": (("kind", *PLACE, "class", "run"), ("mean", "std", "runs")),
    BENCHMARK: (("kind", "group", "column", "model"), ("value",)),
    "summary": (("protocol", "model", "task"), ("average",)),
    "replication": ((*PLACE, "published", "source"), ("mean", "std", "runs", "difference", "standard_mean", "verdict")),
}


@dataclass(frozen=True)
class WrittenTables:
    """The tables in a folder that build_tables wrote: by name their rows, and what they print of score cells."""

    rows: Mapping[str, Table]
    printed: Mapping[str, Printed]


def read_tables(folder: Path, tables: Sequence[TableRecord]) -> WrittenTables:
    """Return the tables in a folder that build_tables wrote.

    Raises:
        UserError: a table is missing.
    """
    names = sorted(table.name for table in tables)
    rows = {name: read_rows(Tables(folder).table(name, "csv")) for name in names}
    return WrittenTables(rows, {name: read_printed(Tables(folder).table(name, "html")) for name in names})


def find_table_problems(
    written: WrittenTables,
    scores: Sequence[Score],
    classes: Sequence[ClassScore],
    *,
    models: Sequence[str],
    datasets: Mapping[str, str],
    assignment: Assignment,
    benchmark: Benchmark | None = None,
) -> list[str]:
    """Return everything in which a finished run's tables, as written, differ from its scores or from each other."""
    scored = build_cells(scores, models=models, datasets=datasets, baseline="", published=assignment.by_cell())
    material = Material(scored, assignment, measured={}, trainings={}, classes=classes, benchmark=benchmark)
    made, tables = made_tables({*datasets.values()}, benchmark=benchmark is not None), written.rows
    return [
        *_not_numbers(tables),
        *(problem for table in made if table.name in _DECIDED for problem in _rows(table, tables, material)),
        *_compared_means(tables["comparisons"], scored),
        *_deployment(tables, scores, models),
        *find_print_problems(written.printed, [*scored.cells.values(), *_class_cells(scored, classes)]),
    ]


def _class_cells(scored: ScoreCells, classes: Sequence[ClassScore]) -> list[Cell]:
    """Return the cells of classes."""
    return [cell for lines in class_lines(scored, classes).values() for line in lines for cell in line.cells]


def _not_numbers(tables: Mapping[str, Table]) -> list[str]:
    """Refuse cells that are not a number or infinite."""
    return [
        f"table {name}: {column} is {value} in the row {' / '.join(list(row.values())[:5])}"
        for name, rows in tables.items()
        for row in rows
        for column, value in row.items()
        if value and value.strip().lower().lstrip("+-") in ("nan", "inf", "infinity", "none", "null")
    ]


def _rows(table: TableRecord, tables: Mapping[str, Table], material: Material) -> list[str]:
    """Check that a table has each row that its builder makes of the scores once, with these values, and no other."""
    names, columns = _DECIDED[table.name]
    expected = {" / ".join(_text(row.get(name)) for name in names): row for row in table.build(material)[1]}
    rows = [(" / ".join(row[name] for name in names), row) for row in tables[table.name]]
    found = Counter(place for place, _ in rows)
    problems = [f"table {table.name} lacks the row {place}" for place in expected if place not in found]
    problems += [f"table {table.name} has the row {place} {count} times" for place, count in found.items() if count > 1]
    for place, row in rows:
        if place not in expected:
            problems.append(f"table {table.name} has the row {place}, which is not part of this run")
            continue
        for name in columns:
            value = _text(expected[place].get(name))
            if row[name] != value and not _close(row[name], value):
                where = f"table {table.name}, {place}"
                problems.append(f"{where}: {name} is {row[name] or 'empty'}, the scores give {value or 'none'}")
    return problems


def _text(value: object) -> str:
    """Return a value as a CSV file has it."""
    return "" if value is None else str(value)


def _compared_means(rows: Table, scored: ScoreCells) -> list[str]:
    """Check that a cell has the same mean in the table of comparisons."""
    problems = []
    for row in rows:
        cell = scored.cells.get((row["dataset"], row["model"], row["protocol"], row["metric"]))
        mean = None if cell is None else cell.mean
        if row["kind"] == MEAN and (mean is None or not _close(row["value"], mean)):
            where = "table comparisons, " + " / ".join(row[name] for name in PLACE)
            problems.append(f"{where}: {row['value']}, but the scores give {mean}")
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


def _close(text: str, value: str | float) -> bool:
    """Return whether a cell holds a number."""
    try:
        return math.isclose(float(text), float(value), rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    except ValueError:
        return False
