"""Whole fine-tunings, ours and the plain Trainer's, each in a process of its own, and the scores that both reach."""

from __future__ import annotations

import logging
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compactbio.architectures import longest_sequence
from compactbio.files import MANIFEST, read_json, write_yaml
from compactbio.imports import without_collector
from compactbio.kinds import kind_of
from compactbio.settings.results import Finetuning
from compactbio.settings.runs import FinetuningRun, Run, finetuning_options

SIDES = ("reference", "ours")
COLUMNS = (
    *("hardware", "model", "dataset", "epochs", "batch_size", "seeds"),
    *("reference_seconds", "ours_seconds", "ratio"),
    *("reference_cpu_seconds", "ours_cpu_seconds", "cpu_ratio"),
    *("metric", "reference_score", "reference_std", "ours_score", "ours_std"),
)


@dataclass(frozen=True)
class Taken:
    """What a training took: wall and CPU seconds from the first to the last step, the features being made before."""

    seconds: float
    cpu_seconds: float


def measure_dataset(
    model: Path, task_folder: Path, seeds: Sequence[int], *, learning_rate: float, epochs: int, threads: int
) -> dict[str, Any]:
    """Return a row of `COLUMNS` without the hardware: medians over the seeds, and scores by the standard protocol.

    Hyper-parameters are those of config/config.yaml but for the learning rate and the epochs; ours has no switch at
    `reference`, so that questions are packed, while the plain script's loss runs over their padding.

    The sides take turns seed by seed, so that what else the machine does meets both. They start from the same
    weights, and the same code predicts and scores for both.
    """
    from compactbio.settings.load import read_configuration  # a bare GPU machine lacks jsonschema

    manifest = read_json(task_folder / MANIFEST)
    definition = {"task": manifest["task"], "finetuning": {"learning_rate": learning_rate, "epochs": epochs}}
    options = finetuning_options(read_configuration([]), definition)
    options["max_length"] = min(options["max_length"], longest_sequence(read_json(model / "config.json")))
    settings: FinetuningRun = {
        "model": model.name,
        "dataset": manifest["dataset"],
        "task": manifest["task"],
        "labels": manifest["labels"],
        "positive_labels": manifest["labels"][1:],
        "hyperparameters": options,
        "runs": [
            {"run": f"{side}-{seed}", "seed": seed, "fold": _first_fold(task_folder)}
            for seed in seeds
            for side in SIDES
        ],
    }
    taken: dict[str, list[Taken]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_yaml(Finetuning(folder).run, settings)
        for run in settings["runs"]:
            side = run["run"].partition("-")[0]
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                work = (side, settings, run, model, task_folder, folder, threads)
                taken[side].append(pool.submit(train_side, *work).result())
            logging.info("%s on %s: %s", run["run"], manifest["dataset"], taken[side][-1])
        scores = _scores(settings, folder, task_folder)
    row: dict[str, Any] = {"model": model.name, "dataset": manifest["dataset"]}
    row |= {"epochs": epochs, "batch_size": options["batch_size"], "seeds": len(seeds)}
    for prefix in ("", "cpu_"):
        times = {side: statistics.median(getattr(one, f"{prefix}seconds") for one in taken[side]) for side in SIDES}
        row |= {f"{side}_{prefix}seconds": f"{times[side]:.2f}" for side in SIDES}
        row[f"{prefix}ratio"] = f"{times['reference'] / times['ours']:.2f}"
    return row | scores


def train_side(
    side: str, settings: FinetuningRun, run: Run, model: Path, task_folder: Path, folder: Path, threads: int | None
) -> Taken:
    """Train one side, write its test predictions to <folder>/<run>.parquet, return what the training took."""
    with without_collector():  # as finetune_model does
        import pyarrow.parquet as pq
        import torch
        from accelerate import Accelerator

        from compactbio.benchmarks.plain_trainer import trainer_of
        from compactbio.finetuning.examples import Dataset
        from compactbio.finetuning.features import PieceTokenizer
        from compactbio.finetuning.model.task_model import load_task_model
        from compactbio.finetuning.runs.one_run import OneRun
        from compactbio.finetuning.runs.outputs import with_run
        from compactbio.training.processes import start_accelerator

    if threads is not None:
        torch.set_num_threads(threads)
    dataset = Dataset(task_folder, settings, PieceTokenizer(model))
    precision = settings["hyperparameters"]["precision"]
    accelerator = start_accelerator(precision) if side == "ours" else Accelerator()
    one = OneRun(settings, model, dataset, run["seed"], run["fold"], accelerator)
    one.validation_part = None  # neither side looks at validation data
    place = folder / run["run"]
    if side == "ours":
        taken = _timed(lambda: one.train(place, deadline=None, stop=None))
    else:
        rows = dict(one.train_part.rows.columns)
        labels = kind_of(settings["task"]).labels
        if labels is not None:
            rows[labels.column] = one.train_part.gold
        # OneRun's own model has our attention and dropout; it starts from the same weights
        plain = load_task_model(model, settings["task"], settings["labels"], run["seed"])
        trainer = trainer_of(plain, model, rows, settings["hyperparameters"], run["seed"], place)
        taken = _timed(trainer.train)
        one.step.model.load_state_dict(plain.state_dict())
    table = with_run(one.predictions(), run["run"], settings["task"])
    pq.write_table(table, folder / f"{run['run']}.parquet")
    return taken


def _timed(train: Any) -> Taken:
    """Call a function and return what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    train()
    return Taken(time.perf_counter() - wall, time.process_time() - cpu)


def _scores(settings: FinetuningRun, folder: Path, task_folder: Path) -> dict[str, Any]:
    """Return the columns of scores: the headline metric by the standard protocol, mean and spread over the seeds."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from compactbio.scoring.folder_scores import score_folder

    tables = [pq.read_table(folder / f"{run['run']}.parquet") for run in settings["runs"]]
    pq.write_table(pa.concat_tables(tables), Finetuning(folder).predictions)
    metric = kind_of(settings["task"]).headline
    values: dict[str, list[float]] = {side: [] for side in SIDES}
    for score in score_folder(settings["model"], folder, task_folder).scores:
        if (score.protocol, score.metric) == ("standard", metric):
            values[score.run.partition("-")[0]].append(100 * score.value)
    columns: dict[str, Any] = {"metric": metric}
    for side in SIDES:
        spread = f"{statistics.stdev(values[side]):.2f}" if len(values[side]) > 1 else "-"
        columns |= {f"{side}_score": f"{statistics.fmean(values[side]):.2f}", f"{side}_std": spread}
    return columns


def _first_fold(task_folder: Path) -> int:
    """Return the first fold of a dataset, 0 where it has none."""
    folds = read_json(task_folder / MANIFEST)["counts"]["test"].get("rows_by_fold", {"0": 0})
    return int(next(iter(folds)))
