"""A cell of a table back to the scores of its runs, and those to what was fine-tuned."""

from __future__ import annotations

import csv
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import read_json
from compactbio.finetuning.runs.run_files import PREDICTIONS
from compactbio.kinds import COUNTS
from compactbio.provenance import PROVENANCE
from compactbio.scoring.score_rows import POOLED
from compactbio.settings.results import TABLES_SO_FAR
from compactbio.tracing.chain import Chain
from compactbio.tracing.finetunings import trace_finetuning

COLUMNS = ("task", "dataset", "model", "protocol", "metric")


@dataclass(frozen=True)
class Place:
    """Where a cell stands: its table is named by the task."""

    task: str
    dataset: str
    model: str
    protocol: str
    metric: str

    def holds(self, row: dict[str, str]) -> bool:
        """Return whether a row of a score table belongs to the cell."""
        return all(row[name] == getattr(self, name) for name in COLUMNS)

    def __str__(self) -> str:
        return " / ".join(getattr(self, name) for name in COLUMNS)


def trace_cell(chain: Chain, results: Path, place: Place) -> None:
    """Walk from a cell to the files that it comes from.

    Raises:
        UserError: nothing is known of the cell: it is in no table and has no scores.
    """
    chain.say(0, f"cell {place}")
    table, row = _table_row(results, place)
    scores = results / "finetuning" / place.model / "scores.tsv"
    values = _scores(scores, place)
    if row is None and not values:
        raise UserError(f"{results} has no cell {place}: see what its tables or {scores} hold")
    if row is None:
        chain.gap(1, f"{table} is not there, or lacks the cell")
    elif not row["mean"]:
        chain.say(1, f"{table}: empty, {row['reason']}")
    else:
        chain.say(1, f"{table}: mean {row['mean']}, std {row['std'] or '-'}, {row['runs']} runs ({row['unit']})")
        if values:
            _compare(chain, row, values, place)
    if not values:
        chain.gap(1, f"{scores} has no such scores yet")
        return
    _trace_scores(chain, 1, results, place, values)
    runs = None if POOLED in values else set(values)
    trace_finetuning(chain, 1, results, place.model, place.dataset, runs)


def _table_row(results: Path, place: Place) -> tuple[Path, dict[str, str] | None]:
    """Return the table that a cell stands in (that of a running workflow, if there is no other) and its row."""
    tables = [results / folder / f"{place.task}.csv" for folder in ("tables", TABLES_SO_FAR)]
    for table in tables:
        if table.is_file():
            with table.open(encoding="utf-8", newline="") as stream:
                rows = [row for row in csv.DictReader(stream) if place.holds({"task": place.task, **row})]
            return table, rows[0] if rows else None
    return tables[0], None


def _scores(path: Path, place: Place) -> dict[str, float]:
    """Return the cell's scores by run, as the score table has them; empty where there is none."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["run"]: float(row["value"]) for row in rows if place.holds(row)}


def _compare(chain: Chain, row: dict[str, str], values: dict[str, float], place: Place) -> None:
    """Compare a cell with the mean and standard deviation of its runs."""
    factor = 1 if place.metric in COUNTS else 100
    scaled = [factor * value for value in values.values()]
    wanted = {"mean": statistics.fmean(scaled), "runs": len(scaled)}
    if len(scaled) > 1:
        wanted["std"] = statistics.stdev(scaled)
    for name, value in wanted.items():
        chain.checks += 1
        if not row[name] or not math.isclose(float(row[name]), value, rel_tol=1e-9, abs_tol=1e-9):
            chain.broken(2, f"{name}: the table says {row[name] or 'nothing'}, the scores give {value}")


def _trace_scores(chain: Chain, depth: int, results: Path, place: Place, values: dict[str, float]) -> None:
    """Say each run's score, and compare the tables it stands in with each other and with their records."""
    table = results / "finetuning" / place.model / "scores.tsv"
    chain.say(depth, f"scores {table}")
    for run, value in values.items():
        chain.say(depth + 1, f"{run}: {value!r}")
    joined = results / "reporting" / "scores.tsv"
    if joined.is_file():
        chain.same(depth + 1, f"scores in {joined}", _scores(joined, place), values)
    else:
        chain.gap(depth + 1, f"{joined} is not there")
    record = chain.record(depth + 1, table.with_name(PROVENANCE))
    if record:
        chain.file(depth + 1, table, record["outputs"][table.name])
        folder = results / "finetuning" / place.model / place.dataset
        made = read_json(folder / PROVENANCE) if (folder / PROVENANCE).is_file() else {}
        scored = record["inputs"].get(f"{place.dataset}/{PREDICTIONS}")
        if "outputs" in made:
            chain.same(depth + 1, f"predictions that {table} was made of", scored, made["outputs"][PREDICTIONS])
