"""The runs (seeds, folds) of one model on one dataset: one after the other in one process, each kept when done.

A run's folder is <checkpoints>/<fingerprint>/, where the fingerprint covers the settings, the seed and fold,
and the content of model, tokenizer and dataset, but no other run. It holds step checkpoints while the run
trains and then finished/ alone, so a run added later costs that run only.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.errors import UserError
from compactbio.files import (
    MANIFEST,
    read_json,
    read_manifest,
    replacing_folder,
    sha256_of_file,
    sha256_of_value,
    write_json,
    write_manifest,
)
from compactbio.finetuning.effort import earlier_tries, with_this_try
from compactbio.finetuning.run_files import FINISHED, METRICS, MODEL, PREDICTIONS, RESULT, SECONDS
from compactbio.imports import without_collector
from compactbio.provenance import PROVENANCE, gather_provenance
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.deadlines import StopSignal
from compactbio.training.fingerprint import fingerprint
from compactbio.training.tries import Tries

if TYPE_CHECKING:
    from compactbio.finetuning.one_run import OneRun
    from compactbio.training.loop import LoopResult

RECIPE = 3  # raise when the arithmetic of fine-tuning or of its predictions changes
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
FINETUNED = "finetuned"  # kind of a kept model, in its manifest
UNDECISIVE = ("runs", "positive_labels", "keep_weights")  # keys of run.yaml


@dataclass(frozen=True)
class PlannedRun:
    """One run, its hyper-parameters, and where it is kept."""

    name: str
    seed: int
    fold: int
    hyperparameters: dict[str, Any]
    fingerprint: str
    folder: Path
    keeps_weights: bool

    @property
    def finished(self) -> Path:
        """The folder that exists once the run is finished: predictions, metrics, result, weights if they are kept."""
        return self.folder / FINISHED

    def is_finished(self) -> bool:
        """Return whether the run's results, kept weights among them, are there and equal to their digests."""
        if not (self.finished / MANIFEST).is_file():
            return False
        if self.keeps_weights and not (self.finished / MODEL / MANIFEST).is_file():
            logging.info("run %s is done again: its weights are to be kept, which they were not", self.name)
            return False
        try:
            read_manifest(self.finished, verify=True)
        except UserError as error:
            logging.warning("run %s is done again: %s", self.name, error)
            return False
        return True


def model_digest(folder: Path) -> str:
    """Return the digest of what a model folder contributes: weights, configuration, tokenizer (no model card).

    Raises:
        UserError: one of the files is missing or differs from the folder's manifest.
    """
    known = read_manifest(folder)["files"] if (folder / MANIFEST).is_file() else {}
    digests = {}
    for name in MODEL_FILES:
        if name in known:
            digests[name] = known[name]["sha256"]
        elif (folder / name).is_file():
            digests[name] = sha256_of_file(folder / name)
        elif name != "tokenizer_config.json":
            raise UserError(f"{folder / name} is missing: {folder} is not a usable model folder")
    return sha256_of_value(digests)


def dataset_digest(folder: Path) -> str:
    """Return the digest of a prepared dataset's rows (state.json holds a random number and is left out)."""
    known = read_manifest(folder)["files"] if (folder / MANIFEST).is_file() else {}
    names = sorted(str(path.relative_to(folder)) for path in (folder / "data").rglob("*.arrow"))
    if not names:
        raise UserError(f"{folder}/data holds no Arrow files: it is not a prepared dataset")
    return sha256_of_value(
        {name: known[name]["sha256"] if name in known else sha256_of_file(folder / name) for name in names}
    )


def plan_runs(settings: dict[str, Any], digests: dict[str, str], checkpoints: Path) -> list[PlannedRun]:
    """Return the runs of run.yaml in its order with their fingerprints; the first one may have to keep its weights.

    What decides no training is left out: names of runs, the labels that are scored as positive, what is kept.
    """
    shared = {name: value for name, value in settings.items() if name not in UNDECISIVE}
    planned = []
    for run in settings["runs"]:
        mark = fingerprint({**shared, "seed": run["seed"], "fold": run["fold"]}, digests, RECIPE)
        options, keeps = settings["hyperparameters"], bool(settings.get("keep_weights")) and not planned
        planned.append(PlannedRun(run["run"], run["seed"], run["fold"], options, mark, checkpoints / mark, keeps))
    return planned


def finetune(
    settings: dict[str, Any],
    model_folder: Path,
    task_folder: Path,
    planned: list[PlannedRun],
    *,
    deadline: float | None,
    stop: StopSignal | None,
) -> bool:
    """Do the runs that are not finished; return whether all are.

    Args:
        settings: content of run.yaml; the hyper-parameters of a grid are each run's own.
        model_folder: encoder or masked language model with its tokenizer.
        task_folder: prepared dataset.
        planned: from `plan_runs`.
        deadline: `time.monotonic()` value at which the program should have left.
        stop: a signal's note.

    Raises:
        UserError: the inputs do not fit the settings, or a training failed.
    """
    missing = [run for run in planned if not run.is_finished()]
    if not planned:
        return True
    logging.info("%d of %d runs are finished already", len(planned) - len(missing), len(planned))
    if not missing:
        return True
    tries = [Tries(run.folder) for run in missing]
    for one_try in tries:
        one_try.refuse_if_stalled()
    # torch and transformers are imported only where there is something to train, and here rather than in a run: see
    # without_collector for what it would keep of the first run, its model among it
    with without_collector():
        from compactbio.finetuning.examples import Dataset
        from compactbio.finetuning.features import PieceTokenizer
        from compactbio.finetuning.one_run import OneRun
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
        try:
            trained = _do_run(settings, run, prepare, deadline=deadline, stop=stop)
        except Exception as error:
            reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            one_try.end(started_at=before, step=checkpoints.latest_step(), finished=False, reason=reason)
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
    settings: dict[str, Any],
    run: PlannedRun,
    prepare: Callable[..., OneRun],
    *,
    deadline: float | None,
    stop: StopSignal | None,
) -> LoopResult:
    """Train a run and, if that came to its end, store its results; return how far the training came."""
    began = time.monotonic()
    earlier = earlier_tries(run.folder)
    settings = {**settings, "hyperparameters": run.hyperparameters}
    one = prepare(settings=settings, seed=run.seed, fold=run.fold)
    try:
        trained = one.train(run.folder, deadline=deadline, stop=stop)
    finally:
        write_json(run.folder / SECONDS, with_this_try(earlier, time.monotonic() - began))
    if trained.finished:
        with replacing_folder(run.finished) as temporary:
            result = one.store(temporary, run.folder / METRICS)
            result |= {"fingerprint": run.fingerprint, "seed": run.seed, "fold": run.fold}
            spent = with_this_try(earlier, time.monotonic() - began)
            result["seconds"] = round(spent["seconds"], 3)
            write_json(temporary / RESULT, result)
            facts = {name: result[name] for name in ("fingerprint", "seed", "fold", "steps")}
            facts |= {"gpu_hours": round(spent["gpu_hours"], 5), "tries": spent["tries"], "recipe": RECIPE}
            write_json(temporary / PROVENANCE, gather_provenance({}, spent["seconds"], **facts))
            if run.keeps_weights:
                one.save_model(temporary / MODEL)
                about = {name: settings[name] for name in ("model", "dataset", "task", "labels")}
                write_manifest(temporary / MODEL, kind=FINETUNED, **about, fingerprint=run.fingerprint)
            write_manifest(temporary)
        logging.info("run %s finished: %d steps, %.1f s", run.name, result["steps"], result["seconds"])
    return trained


def publish(
    planned: list[PlannedRun], task: str, output: Path, grid: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Write predictions.parquet, metrics.jsonl, kept weights and training.json of finished runs; return training.json.

    Args:
        planned: the runs.
        task: ner, re or qa.
        output: the folder to write to.
        grid: the points that were tried, from `grid.choose_point`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from compactbio.files import replacing_file
    from compactbio.finetuning.kept_weights import publish_weights
    from compactbio.finetuning.tables import with_run

    results = [read_json(run.finished / RESULT) for run in planned]
    tables = [with_run(pq.read_table(run.finished / PREDICTIONS), run.name, task) for run in planned]
    with replacing_file(output / PREDICTIONS) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary, compression="zstd")
    with replacing_file(output / METRICS) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for run in planned:
            for line in (run.finished / METRICS).read_text(encoding="utf-8").splitlines():
                stream.write(json.dumps({"run": run.name, **json.loads(line)}) + "\n")
    training = {
        "fingerprint": sha256_of_value([run.fingerprint for run in planned]),
        "steps": sum(result["steps"] for result in results),
        "seconds": round(sum(result["seconds"] for result in results), 3),
        "hyperparameters": planned[0].hyperparameters,
        "grid": grid or [],
        "runs": [{"run": run.name, **result} for run, result in zip(planned, results, strict=True)],
        "weights": publish_weights(planned[0], output / MODEL),
    }
    write_json(output / "training.json", training)
    return training


def _remove_all_but_finished(run: PlannedRun) -> None:
    """Remove the checkpoints of a finished run; a base-size model's take over a gigabyte."""
    for path in run.folder.iterdir():
        if path == run.finished:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
