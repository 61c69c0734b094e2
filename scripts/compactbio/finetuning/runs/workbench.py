"""One process that does runs of a model on a dataset: what they share is made once, each is kept when it is done.

A run's folder holds step checkpoints while the run trains and then finished/ alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compactbio.architectures import beyond_fp16
from compactbio.files import read_json, replacing_folder, write_json, write_manifest
from compactbio.finetuning.runs.kept_weights import FINETUNED, about
from compactbio.finetuning.runs.planning import RECIPE, PlannedRun
from compactbio.finetuning.runs.records import METRICS, RESULT, SECONDS, Effort, RunResult
from compactbio.imports import import_models, without_collector
from compactbio.provenance import PROVENANCE, gather_provenance, gpu_count
from compactbio.settings.results import MODEL
from compactbio.settings.runs import FinetuningRun
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.deadlines import StopSignal
from compactbio.training.tries import Tries

if TYPE_CHECKING:
    from compactbio.training.interface import LoopResult


@dataclass(frozen=True)
class Job:
    """What all runs of a job share: settings, the folders of model and prepared dataset, and when to leave.

    `deadline` is a value of `time.monotonic()`, which all processes of a machine share; `minutes` is the limit that it
    comes from.
    """

    settings: FinetuningRun
    model: Path
    task: Path
    deadline: float | None
    minutes: float | None


class Workbench:
    """Dataset, tokenizer and device of a process, with which it does runs."""

    def __init__(self, job: Job, stop: StopSignal | None) -> None:
        # torch and transformers are imported only where there is something to train, and here rather than in a run: see
        # without_collector for what it would keep of the first run, its model among it
        import_models()
        with without_collector():
            from compactbio.finetuning.examples import Dataset
            from compactbio.finetuning.features import PieceTokenizer
            from compactbio.finetuning.runs.one_run import OneRun
            from compactbio.training.devices import give_back_memory, set_determinism
            from compactbio.training.processes import precision_of, start_accelerator

        self.job, self.stop, self.make, self.give_back = job, stop, OneRun, give_back_memory
        options = job.settings["hyperparameters"]
        tokenizer = PieceTokenizer(job.model, options.get("added_tokens") or ())
        self.dataset = Dataset(job.task, job.settings, tokenizer)
        self.deterministic = bool(job.settings.get("deterministic"))
        set_determinism(self.deterministic)
        self.accelerator = start_accelerator(options["precision"], beyond_fp16(read_json(job.model / "config.json")))
        self.precision = precision_of(self.accelerator)
        scaler = self.accelerator.scaler
        self.first_scale = None if scaler is None else scaler.state_dict()
        logging.info("device %s, precision %s", self.accelerator.device, self.precision)
        if self.accelerator.device.type == "cuda" and not self.deterministic:
            logging.info(
                "deterministic: false: a run that was interrupted may differ from an uninterrupted one in bits"
            )

    def do(
        self, run: PlannedRun, *, gained: bool, at_once: int = 1, at_step: Callable[[int], None] | None = None
    ) -> bool:
        """Do one run as far as it gets; return whether it came to its end.

        Args:
            gained: whether this job finished a run before: one whose turn came only shortly before the deadline is
                not stalled.
            at_once: how many runs share the device.
            at_step: called as `LoopSettings.at_step` is.
        """
        logging.info("run %s (seed %d, fold %d), kept in %s", run.name, run.seed, run.fold, run.folder)
        checkpoints = CheckpointFolder(run.folder)
        before = checkpoints.latest_step()
        one_try = Tries(run.folder, minutes=self.job.minutes)
        one_try.begin(before)
        if isinstance(self.stop, StopSignal):
            self.stop.on_leaving = one_try.interrupted

        def note_step(taken: int) -> None:
            one_try.at_step(taken)
            if at_step is not None:
                at_step(taken)

        try:
            trained = self._train(run, at_once, note_step)
        except Exception as error:
            saved = checkpoints.latest_step()
            one_try.end(started_at=before, step=saved, finished=False, reason="error", error=error)
            raise
        finally:
            self.give_back(self.accelerator.device)
        start = -1 if gained else before
        one_try.end(started_at=start, step=trained.step, finished=trained.finished, reason=trained.reason)
        if not trained.finished:
            logging.error(
                "run %s stopped at step %d of %d (%s): start again to go on from there",
                run.name,
                trained.step,
                trained.total_steps,
                trained.reason,
            )
        return trained.finished

    def _train(self, run: PlannedRun, at_once: int, at_step: Callable[[int], None]) -> LoopResult:
        """Train a run and, if that came to its end, store its results; return how far the training came."""
        began = time.monotonic()
        earlier = earlier_tries(run.folder)
        if self.first_scale is not None:  # else a run's numbers would follow from those that were done here before
            self.accelerator.scaler.load_state_dict(self.first_scale)
        settings: FinetuningRun = {**self.job.settings, "hyperparameters": run.hyperparameters}
        one = self.make(settings, self.job.model, self.dataset, run.seed, run.fold, self.accelerator)
        try:
            trained = one.train(run.folder, deadline=self.job.deadline, stop=self.stop, at_step=at_step)
        finally:
            write_json(run.folder / SECONDS, with_this_try(earlier, time.monotonic() - began, at_once))
        if not trained.finished:
            return trained
        with replacing_folder(run.finished) as temporary:
            facts = one.store(temporary, run.folder / METRICS)
            spent = with_this_try(earlier, time.monotonic() - began, at_once)
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
                precision=self.precision,
                deterministic=self.deterministic,
                at_once=at_once,
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


def with_this_try(earlier: Effort, seconds: float, at_once: int = 1) -> Effort:
    """Return the sums with one more try, which lasted so many seconds; so many runs shared the GPUs."""
    return {
        "seconds": earlier["seconds"] + seconds,
        "gpu_hours": earlier["gpu_hours"] + seconds * gpu_count() / at_once / 3600,
        "tries": earlier["tries"] + 1,
    }
