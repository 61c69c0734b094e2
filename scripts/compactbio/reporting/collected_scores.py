"""Score tables read back and checked: one row per task, dataset, model, run, protocol, (class,) and metric."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from compactbio.errors import UserError, reading, require_file
from compactbio.forms import LARGEST_TEXT
from compactbio.kinds import COUNTS, KINDS
from compactbio.provenance import require_written
from compactbio.scoring.score_rows import AnyScore, Score
from compactbio.settings.results import Results


def read_scores(path: Path, of: type[AnyScore]) -> list[AnyScore]:
    """Return the rows of one score table, each of them checked.

    Args:
        path: what score_model or collect_scores wrote.
        of: what its rows are, which decides its columns and metrics.

    Raises:
        UserError: missing file or column, unknown task, protocol or metric, a value that is not a number, is
            NaN or lies outside its range; the message names file and line.
    """
    require_file(path, LARGEST_TEXT)
    with reading(path, "score_model writes it: run that again"), path.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = [name for name in of._fields if name not in (rows.fieldnames or ())]
        if missing:
            raise UserError(
                f"{path} has no column {', '.join(missing)}: a score table has the tab-separated columns "
                f"{', '.join(of._fields)}"
            )
        return [_score(row, f"{path}, line {line}", of) for line, row in enumerate(rows, start=2)]


def _score(cells: Mapping[str, str | None], where: str, of: type[AnyScore]) -> AnyScore:
    """Return one checked row; `where` begins the message of a refusal."""
    row: dict[str, str] = {name: cells[name] or "" for name in of._fields}
    empty = [name for name, text in row.items() if not text.strip()]
    if empty:
        raise UserError(f"{where}: {', '.join(empty)} is empty")
    task, metric = row["task"], row["metric"]
    if task not in KINDS:
        raise UserError(f"{where}: unknown task {task!r}; known are {', '.join(KINDS)}")
    metrics = KINDS[task].known_metrics() if of is Score else KINDS[task].known_class_metrics()
    for word, known in (("protocol", KINDS[task].protocol_names), ("metric", metrics)):
        if row[word] not in known:
            raise UserError(f"{where}: task {task} has no {word} {row[word]!r}; it has {', '.join(known)}")
    try:
        value = float(row.pop("value"))
    except ValueError:
        raise UserError(f"{where}: value {cells['value']!r} is not a number") from None
    if not math.isfinite(value):
        raise UserError(f"{where}: value is {value}; {metric} of {row['model']}, run {row['run']}: score it again")
    lowest = KINDS[task].lowest(metric)
    if value < lowest or (metric not in COUNTS and value > 1):
        allowed = "at least 0" if metric in COUNTS else f"a fraction in [{lowest:.0f}, 1]"
        raise UserError(f"{where}: {metric} is {value}, but must be {allowed}")
    return of._make([*row.values(), value])


def collect_scores(paths: Iterable[Path], of: type[AnyScore]) -> list[AnyScore]:
    """Return the rows of all tables in their order, each number once; `of` as for `read_scores`.

    Raises:
        UserError: as `read_scores`; two rows for one number; one dataset under two tasks.
    """
    origin: dict[tuple[str, ...], Path] = {}
    task_of: dict[str, tuple[str, Path]] = {}
    collected = []
    for path in paths:
        require_written(path)
        for score in read_scores(path, of):
            if score.key in origin:
                raise UserError(
                    f"{' / '.join(score.key)} occurs twice: in {origin[score.key]} and in {path}; remove one of them"
                )
            task, first = task_of.setdefault(score.dataset, (score.task, path))
            if task != score.task:
                raise UserError(f"{score.dataset} is of task {task} in {first} and of task {score.task} in {path}")
            origin[score.key] = path
            collected.append(score)
    return collected


def gap_reasons(results: Path, models: Sequence[str], datasets: Iterable[str]) -> dict[tuple[str, str], str]:
    """Return for each (model, dataset) of a results folder what is known of it beyond that it was not run."""
    return {
        (model, dataset): "fine-tuned, not scored yet"
        for dataset in datasets
        for model in models
        if Results(results).finetuning(model, dataset).predictions.is_file()
    }
