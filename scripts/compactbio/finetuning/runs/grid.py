"""A grid of hyper-parameters: its points tried with one run each, the best by validation score taken for all runs.

Every point is trained as the run file's first run (its seed and fold), the folds of a dataset included: the grid costs
one training a point, whatever the number of runs. The chosen point's is one of the runs and is not trained again. Only
the chosen runs' predictions are published, so the test data are scored once, with the choice.
"""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

from compactbio.errors import UserError
from compactbio.finetuning.runs.planning import PlannedRun, plan_runs
from compactbio.finetuning.runs.records import GridPoint, read_epochs, read_result
from compactbio.kinds import kind_of
from compactbio.settings.runs import FinetuningRun, Options

GRID = "grid"


def grid_points(settings: FinetuningRun) -> list[Options]:
    """Return the hyper-parameters of each point, the first key's values changing slowest; none without a grid."""
    grid = settings["hyperparameters"].get(GRID)
    if not grid:
        return []
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def at_point(settings: FinetuningRun, point: Options) -> FinetuningRun:
    """Return a run file's content with a point's hyper-parameters and without the grid."""
    options = {name: value for name, value in settings["hyperparameters"].items() if name != GRID}
    return {**settings, "hyperparameters": options | point}


def plan_trials(settings: FinetuningRun, digests: dict[str, str], checkpoints: Path) -> list[PlannedRun]:
    """Return the first run at each point of the grid, none without a grid."""
    first: FinetuningRun = {**settings, "runs": settings["runs"][:1]}
    return [run for point in grid_points(settings) for run in plan_runs(at_point(first, point), digests, checkpoints)]


def choose_point(settings: FinetuningRun, trials: list[PlannedRun]) -> tuple[FinetuningRun, list[GridPoint]]:
    """Return the run file's content at the best point, and the points with the finished trials' validation scores.

    Without a grid: the settings as they are, and no points. Of equal scores the earlier point is chosen.

    Raises:
        UserError: a trial has no validation score.
    """
    points = grid_points(settings)
    if not points:
        return settings, []
    metric = kind_of(settings["task"]).headline
    tried: list[GridPoint] = [
        {**point, metric: _validation_score(run, metric), "run": run.name, "fingerprint": run.fingerprint}
        for point, run in zip(points, trials, strict=True)
    ]
    best = max(range(len(points)), key=lambda index: (tried[index][metric], -index))
    for index, row in enumerate(tried):
        row["chosen"] = index == best
    logging.info(
        "chosen of %d points by validation %s %.4f: %s", len(points), metric, tried[best][metric], points[best]
    )
    return at_point(settings, points[best]), tried


def _validation_score(run: PlannedRun, metric: str) -> float:
    """Return a finished run's validation score of the epoch whose weights it took."""
    lines = read_epochs(run.finished)
    validation = lines[read_result(run.finished).get("epoch", len(lines)) - 1]["validation"]
    if validation is None:
        raise UserError(
            "a finetuning grid needs validation data: name files.validation or set validation_fraction in the "
            "dataset's definition, or unset the grid"
        )
    return validation[metric]
