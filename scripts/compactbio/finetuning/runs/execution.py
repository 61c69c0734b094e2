"""The runs (seeds, folds) of one model on one dataset: planned, shared out, each kept when done.

They are done one after the other in this process or, on a GPU, side by side in others (side_by_side.py).
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from compactbio.finetuning.runs.planning import PlannedRun
from compactbio.finetuning.runs.side_by_side import do_side_by_side
from compactbio.finetuning.runs.workbench import Job, Workbench
from compactbio.settings.runs import FinetuningRun
from compactbio.training.deadlines import StopSignal
from compactbio.training.tries import Tries

if TYPE_CHECKING:
    from collections.abc import Sequence


def finetune(
    settings: FinetuningRun,
    model_folder: Path,
    task_folder: Path,
    planned: Sequence[PlannedRun],
    *,
    deadline: float | None,
    stop: StopSignal | None,
    minutes: float | None = None,
    at_once: int | None = 1,
    memory_mb: int | None = None,
) -> bool:
    """Do the runs that are not finished; return whether all are.

    The hyper-parameters of a grid are each run's own. `deadline` is the value of `time.monotonic()` at which the
    program should have left, `minutes` the limit that it comes from. `at_once` runs are done side by side at most;
    None: as many as the GPU's memory, the host's (of which `memory_mb` may be used) and the cores take.

    Raises:
        UserError: the inputs do not fit the settings, or a training failed.
    """
    missing = []
    for run in planned:
        if run.is_finished():
            remove_all_but_finished(run)  # of a process that was killed before it could
        else:
            missing.append(run)
    if not planned:
        return True
    logging.info("%d of %d runs are finished already", len(planned) - len(missing), len(planned))
    if not missing:
        return True
    for run in missing:
        Tries(run.folder, minutes=minutes).refuse_if_stalled()
    job = Job(settings, model_folder, task_folder, deadline, minutes)
    if at_once != 1 and len(missing) > 1:
        finished = do_side_by_side(job, missing, stop, at_once, memory_mb)
    else:
        finished = _do_in_turn(job, missing, stop)
    for run in missing:
        if run.is_finished():
            remove_all_but_finished(run)
    return finished


def _do_in_turn(job: Job, missing: Sequence[PlannedRun], stop: StopSignal | None) -> bool:
    """Do runs one after the other in this process; return whether all came to their end."""
    bench = Workbench(job, stop)
    gained = False
    for run in missing:
        if not bench.do(run, gained=gained):
            return False
        remove_all_but_finished(run)
        gained = True
    return True


def remove_all_but_finished(run: PlannedRun) -> None:
    """Remove the checkpoints of a finished run; a base-size model's take over a gigabyte."""
    for path in run.folder.iterdir():
        if path == run.finished:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
