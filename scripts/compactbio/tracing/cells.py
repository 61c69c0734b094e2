"""A cell of a table back to the scores of its runs, and those to what was fine-tuned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from compactbio.errors import UserError
from compactbio.kinds import COUNTS
from compactbio.provenance import read_provenance
from compactbio.reporting.collected_scores import read_scores
from compactbio.reporting.document_files import read_rows
from compactbio.reporting.score_cells import summarise
from compactbio.scoring.score_rows import POOLED, Score
from compactbio.settings.results import Results
from compactbio.tracing.chain import Chain
from compactbio.tracing.finetunings import trace_finetuning


class Place(NamedTuple):
    """Where a cell stands: its table is named by the task."""

    task: str
    dataset: str
    model: str
    protocol: str
    metric: str

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row of a table belongs to the cell."""
        return all(row[name] == value for name, value in self._asdict().items())

    def __str__(self) -> str:
        return " / ".join(self)


def trace_cell(chain: Chain, place: Place) -> None:
    """Walk from a cell to the files that it comes from.

    Raises:
        UserError: nothing is known of the cell: it is in no table and has no scores.
    """
    chain.say(f"cell {place}")
    table, row = _table_row(chain.results, place)
    scores = chain.results.model_scores(place.model).scores
    values = _scores(scores, place)
    if row is None and not values:
        raise UserError(f"{chain.results.folder} has no cell {place}: see what its tables or {scores} hold")
    with chain.below():
        if row is None:
            chain.gap(f"{table} is not there, or lacks the cell")
        elif not row["mean"]:
            chain.say(f"{table}: empty, {row['reason']}")
        else:
            chain.say(f"{table}: mean {row['mean']}, std {row['std'] or '-'}, {row['runs']} runs ({row['unit']})")
            if values:
                _compare(chain, row, values, place)
        if not values:
            chain.gap(f"{scores} has no such scores yet")
            return
        _trace_scores(chain, place, values)
        trace_finetuning(chain, place.model, place.dataset, None if POOLED in values else set(values))


def _table_row(results: Results[Path], place: Place) -> tuple[Path, dict[str, str] | None]:
    """Return the table that a cell stands in (that of a running workflow, if there is no other) and its row."""
    tables = [folder.table(place.task, "csv") for folder in (results.tables, results.tables_so_far)]
    for table in tables:
        if table.is_file():
            rows = (row for row in read_rows(table) if place.holds({"task": place.task, **row}))
            return table, next(rows, None)
    return tables[0], None


def _scores(path: Path, place: Place) -> dict[str, float]:
    """Return the cell's scores by run, as the score table has them; empty where there is none."""
    scores = read_scores(path, Score) if path.is_file() else []
    return {score.run: score.value for score in scores if place.holds(score._asdict())}


def _compare(chain: Chain, row: dict[str, str], values: dict[str, float], place: Place) -> None:
    """Compare a cell with the mean and standard deviation of its runs."""
    factor = 1 if place.metric in COUNTS else 100
    scaled = [factor * value for value in values.values()]
    mean, std = summarise(scaled)
    with chain.below():
        for name, value in {"mean": mean, "runs": len(scaled), **({} if std is None else {"std": std})}.items():
            chain.checks += 1
            if not row[name] or not math.isclose(float(row[name]), value, rel_tol=1e-9, abs_tol=1e-9):
                chain.broken(f"{name}: the table says {row[name] or 'nothing'}, the scores give {value}")


def _trace_scores(chain: Chain, place: Place, values: dict[str, float]) -> None:
    """Say each run's score, and compare the tables it stands in with each other and with their records."""
    scored, finetuned = chain.results.model_scores(place.model), chain.results.finetuning(place.model, place.dataset)
    chain.say(f"scores {scored.scores}")
    with chain.below():
        for run, value in values.items():
            chain.say(f"{run}: {value!r}")
        joined = chain.results.reporting.scores
        if chain.there(joined):
            chain.same(f"scores in {joined}", _scores(joined, place), values)
        record = chain.record(scored.provenance)
        if record is None:
            return
        chain.file(scored.scores, record["outputs"][scored.scores.name])
        if finetuned.provenance.is_file():
            name = finetuned.predictions.name
            read, written = record["inputs"].get(f"{place.dataset}/{name}"), read_provenance(finetuned.provenance)
            if "outputs" in written:
                chain.same(f"predictions that {scored.scores} was made of", read, written["outputs"][name])
