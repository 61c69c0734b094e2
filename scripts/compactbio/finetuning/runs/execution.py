"""The runs (seeds, folds) of one model on one dataset: one after the other in one process, each kept when done.

A run's folder holds step checkpoints while the run trains and then finished/ alone.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from compactbio.files import read_json, replacing_folder, write_json, write_manifest
from compactbio.finetuning.runs.kept_weights import FINETUNED, about
from compactbio.finetuning.runs.planning import RECIPE, PlannedRun
from compactbio.finetuning.runs.records import METRICS, RESULT, SECONDS, Effort, RunResult
from compactbio.imports import without_collector
from compactbio.provenance import PROVENANCE, gather_provenance, gpu_count
from compactbio.settings.results import MODEL
from compactbio.settings.runs import FinetuningRun
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.deadlines import StopSignal
from compactbio.training.tries import Tries

if TYPE_CHECKING:
    from compactbio.finetuning.runs.one_run import OneRun
    from compactbio.training.interface import LoopResult


def finetune(
    settings: FinetuningRun,
    model_folder: Path,
    task_folder: Path,
    planned: list[PlannedRun],
    *,
    deadline: float | None,
    stop: StopSignal | None,
    minutes: float | None = None,
) -> bool:
    """Do the runs that are not finished; return whether all are.

    The hyper-parameters of a grid are each run's own. `deadline` is the value of `time.monotonic()` at which the
    program should have left, `minutes` the limit that it comes from.

    Raises:
        UserError: the inputs do not fit the settings, or a training failed.
    """
    missing = []
    for run in planned:
        if run.is_finished():
            _remove_all_but_finished(run)  # of a process that was killed before it could
        else:
            missing.append(run)
    if not planned:
        return True
    logging.info("%d of %d runs are finished already", len(planned) - len(missing), len(planned))
    if not missing:
        return True
    tries = [Tries(run.folder, minutes=minutes) for run in missing]
    for one_try in tries:
        one_try.refuse_if_stalled()
    # torch and transformers are imported only where there is something to train, and here rather than in a run: see
    # without_collector for what it would keep of the first run, its model among it
    with without_collector():
        from compactbio.finetuning.examples import Dataset
        from compactbio.finetuning.features import PieceTokenizer
        from compactbio.finetuning.runs.one_run import OneRun
        from compactbio.training.processes import start_accelerator

    tokenizer = PieceTokenizer(model_folder, settings["hyperparameters"].get("added_tokens") or ())
    dataset = Dataset(task_folder, settings, tokenizer)
    precision = settings["hyperparameters"]["precision"]
    accelerator = start_accelerator(precision)
    logging.info("device %s, precision %s", accelerator.device, precision)
    prepare = partial(OneRun, model_folder=model_folder, dataset=dataset, accelerator=accelerator)
    gained = False
    for run, one_try in zip(missing, tries, strict=True):
        logging.info("run %s (seed %d, fold %d), kept in %s", run.name, run.seed, run.fold, run.folder)
        checkpoints = CheckpointFolder(run.folder)
        before = checkpoints.latest_step()
        # A run whose turn came only shortly before the deadline is not stalled: the try gained a run before it.
        gained_from = -1 if gained else before
        one_try.begin(before)
        if isinstance(stop, StopSignal):
            stop.on_leaving = one_try.interrupted
        try:
            trained = _do_run(settings, run, prepare, deadline=deadline, stop=stop, at_step=one_try.at_step)
        except Exception as error:
            saved = checkpoints.latest_step()
            one_try.end(started_at=before, step=saved, finished=False, reason="error", error=error)
            raise
        one_try.end(started_at=gained_from, step=trained.step, finished=trained.finished, reason=trained.reason)
        if not trained.finished:
            logging.error(
                "run %s stopped at step %d of %d (%s): start again to go on from there",
                run.name,
                trained.step,
                trained.total_steps,
                trained.reason,
            )
            return False
        _remove_all_but_finished(run)
        gained = True
    return True


def _do_run(
    settings: FinetuningRun,
    run: PlannedRun,
    prepare: Callable[..., OneRun],
    *,
    deadline: float | None,
    stop: StopSignal | None,
    at_step: Callable[[int], None],
) -> LoopResult:
    """Train a run and, if that came to its end, store its results; return how far the training came."""
    began = time.monotonic()
    earlier = earlier_tries(run.folder)
    one = prepare(settings={**settings, "hyperparameters": run.hyperparameters}, seed=run.seed, fold=run.fold)
    try:
        trained = one.train(run.folder, deadline=deadline, stop=stop, at_step=at_step)
    finally:
        write_json(run.folder / SECONDS, with_this_try(earlier, time.monotonic() - began))
    if trained.finished:
        with replacing_folder(run.finished) as temporary:
            facts = one.store(temporary, run.folder / METRICS)
            spent = with_this_try(earlier, time.monotonic() - began)
            result: RunResult = {
                **facts,
                "fingerprint": run.fingerprint,
                "seed": run.seed,
                "fold": run.fold,
                "seconds": round(spent["seconds"], 3),
            }
            write_json(temporary / RESULT, result)
            origin = gather_provenance(
                {},
                spent["seconds"],
                fingerprint=run.fingerprint,
                seed=run.seed,
                fold=run.fold,
                steps=facts["steps"],
                gpu_hours=round(spent["gpu_hours"], 5),
                tries=spent["tries"],
                recipe=RECIPE,
            )
            write_json(temporary / PROVENANCE, origin)
            if run.keeps_weights:
                one.save_model(temporary / MODEL)
                write_manifest(temporary / MODEL, kind=FINETUNED, **about(settings), fingerprint=run.fingerprint)
            write_manifest(temporary)
        logging.info("run %s finished: %d steps, %.1f s", run.name, result["steps"], result["seconds"])
    return trained


def _remove_all_but_finished(run: PlannedRun) -> None:
    """Remove the checkpoints of a finished run; a base-size model's take over a gigabyte."""
    for path in run.folder.iterdir():
        if path == run.finished:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def earlier_tries(folder: Path) -> Effort:
    """Return what the earlier tries of the run in a folder cost.

    A try that was killed wrote none of it: the seconds that its last checkpoint counts are taken instead, on as many
    GPUs as there are now.
    """
    path = folder / SECONDS
    effort = Effort(seconds=0.0, gpu_hours=0.0, tries=0)
    if path.is_file():
        effort |= read_json(path, Effort, "delete it: what earlier tries took is then not counted")
    unnoted = CheckpointFolder(folder).seconds() - effort["seconds"]
    return with_this_try(effort, unnoted) if unnoted > 0 else effort


def with_this_try(earlier: Effort, seconds: float) -> Effort:
    """Return the sums with one more try, which lasted so many seconds."""
    return {
        "seconds": earlier["seconds"] + seconds,
        "gpu_hours": earlier["gpu_hours"] + seconds * gpu_count() / 3600,
        "tries": earlier["tries"] + 1,
    }
