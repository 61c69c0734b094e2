"""The runs whose checkpoints are kept under a results folder, and which of them a next start would take up."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import MANIFEST, read_json
from compactbio.finetuning.runs.digests import dataset_digest, model_digest
from compactbio.finetuning.runs.grid import choose_point, plan_trials
from compactbio.finetuning.runs.planning import plan_runs
from compactbio.finetuning.runs.records import FINISHED, RESULT
from compactbio.locks import is_held
from compactbio.pretraining.inputs import read_inputs
from compactbio.settings.results import FINETUNING, PRETRAINING, Results, find
from compactbio.settings.runs import read_finetuning_run, read_pretraining_run
from compactbio.settings.selection import corpus_shards, is_trained
from compactbio.temporaries import Left, size_and_time
from compactbio.text_tables import aligned_columns
from compactbio.training.checkpoints import PREFIX, STATE
from compactbio.training.stalls import read_stall
from compactbio.training.tries import LOCK, was_interrupted

IN_USE, ORPHANED, UNKNOWN = "in use", "orphaned", "unknown"
FINGERPRINT = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class StoredRun:
    """One run's folder and how far it came; `total` is None where it does not say.

    `status` is finished, unfinished, interrupted, stalled or running; `reason` says why it is stalled or its use is
    unknown.
    """

    stage: str
    model: str
    dataset: str
    folder: Path
    step: int
    total: int | None
    status: str
    use: str
    reason: str
    bytes: int
    changed_at: float

    @property
    def fingerprint(self) -> str:
        """Return the name of the folder."""
        return self.folder.name


@dataclass
class PresentRuns:
    """The fingerprints that the present run files and inputs give, and why others may be in use too."""

    in_use: set[str] = field(default_factory=set)
    reason: str = ""


def stored_runs(results: Path, config: dict[str, Any] | None = None) -> list[StoredRun]:
    """Return all runs kept under <results>/checkpoints/, by stage, model, dataset and use.

    Args:
        results: the folder.
        config: the configuration that the results are of, which says where models come from and which shards of the
            corpus are used; None: whatever is there may be used.
    """
    tree, runs = Results(results), []
    for parent in _folders(tree.checkpoints.pretrainings):
        runs += _runs_in(parent, PRETRAINING, parent.name, "", _present_pretraining(tree, parent.name, config))
    for model in _folders(tree.checkpoints.finetunings):
        for parent in _folders(model):
            present = _present_finetuning(tree, model.name, parent.name, config)
            runs += _runs_in(parent, FINETUNING, model.name, parent.name, present)
    return sorted(runs, key=lambda run: (run.stage != PRETRAINING, run.model, run.dataset, run.use, run.fingerprint))


def _present_pretraining(tree: Results[Path], model: str, config: dict[str, Any] | None) -> PresentRuns:
    """Return the present runs of a model's pre-training, of whose inputs the folders are laid out as the rules do."""
    present = PresentRuns()
    try:
        run = read_pretraining_run(tree.pretraining(model).run)
        if config is not None:
            stores = [tree.corpus.token_store(run["tokenizer"], shard).manifest for shard in corpus_shards(config)]
        else:
            stores = find(tree, tree.corpus.token_store(run["tokenizer"], "*").manifest)
            if len(stores) > 1:
                present.reason = f"whether all {len(stores)} token stores are used is known with --configfile only"
        if not stores:
            raise UserError(f"no token store of {run['tokenizer']} is there")
        teacher, student = run["teacher"], tree.students.initialised(model).folder
        for folder in [None] if teacher is None else _model_folders(tree, teacher, config):
            present.in_use.add(read_inputs(tree.pretraining(model).run, student, folder, stores).fingerprint)
    except UserError as error:
        present.reason = str(error)
    return present


def _present_finetuning(tree: Results[Path], model: str, dataset: str, config: dict[str, Any] | None) -> PresentRuns:
    """Return the present runs of a model on a dataset."""
    present, checkpoints = PresentRuns(), tree.checkpoints.finetuning(model, dataset)
    try:
        settings = read_finetuning_run(tree.finetuning(model, dataset).run)
        stage = settings.get("starts_from")
        starts = [tree.finetuning(model, stage).model.folder] if stage else _model_folders(tree, model, config)
        for folder in starts:
            digests = {"model": model_digest(folder), "dataset": dataset_digest(tree.tasks.dataset(dataset).folder)}
            trials = plan_trials(settings, digests, checkpoints)
            present.in_use |= {run.fingerprint for run in trials}
            if all(run.is_finished() for run in trials):
                chosen, _ = choose_point(settings, trials)
                present.in_use |= {run.fingerprint for run in plan_runs(chosen, digests, checkpoints)}
            else:
                present.reason = "the grid of hyper-parameters is not finished: which runs follow is not known"
    except UserError as error:
        present.reason = str(error)
    return present


def _model_folders(tree: Results[Path], name: str, config: dict[str, Any] | None) -> list[Path]:
    """Return where a model is read from: trained here or fetched; without a configuration each that is there."""
    trained, fetched = tree.pretraining(name), tree.students.fetched(name).folder
    if config is not None:
        return [trained.model.folder if is_trained(config, name) else fetched]
    folders = [trained.model.folder] if trained.folder.is_dir() else []
    return [*folders, fetched] if fetched.is_dir() or not folders else folders


def table(runs: Sequence[StoredRun], now: float) -> str:
    """Return the runs as lines of aligned columns; `now` is a `time.time()` value."""
    rows = [("stage", "model", "dataset", "run", "step", "size", "unchanged for", "status", "use", "reason")]
    rows += [
        (
            run.stage,
            run.model,
            run.dataset or "-",
            run.fingerprint[:12],
            f"{run.step}/{'?' if run.total is None else run.total}",
            size_in_words(run.bytes),
            age_in_words(now - run.changed_at),
            run.status,
            run.use,
            run.reason,  # last, since it may be long
        )
        for run in runs
    ]
    return aligned_columns(rows)


def left_table(left: Sequence[Left], now: float) -> str:
    """Return what killed processes left as lines of aligned columns; empty where they left nothing."""
    rows = [(size_in_words(one.bytes), age_in_words(now - one.changed_at), str(one.path)) for one in left]
    return aligned_columns([("size", "unchanged for", "temporary"), *rows]) if rows else ""


def size_in_words(size: int) -> str:
    """Return bytes as MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def age_in_words(seconds: float) -> str:
    """Return a time span in its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _runs_in(parent: Path, stage: str, model: str, dataset: str, present: PresentRuns) -> list[StoredRun]:
    """Return the runs in a folder that holds one per fingerprint; whatever has another name is left alone."""
    return [
        _read(folder, stage, model, dataset, present)
        for folder in _folders(parent)
        if FINGERPRINT.fullmatch(folder.name)
    ]


def _read(folder: Path, stage: str, model: str, dataset: str, present: PresentRuns) -> StoredRun:
    """Return what a run's folder says."""
    state, stalled = _json(folder / STATE), ""
    total = state.get("total_steps")
    step = state.get("step", max((int(path.name[len(PREFIX) :]) for path in folder.glob(f"{PREFIX}*")), default=0))
    if (folder / FINISHED / MANIFEST).is_file():  # a finished fine-tuning keeps its results only
        step = total = _json(folder / FINISHED / RESULT).get("steps", step)
        status = "finished"
    elif (stall := read_stall(folder)) is not None:
        status, stalled = "stalled", stall["reason"]
    elif state.get("finished"):
        status = "finished"
    else:
        status = "interrupted" if was_interrupted(folder) else "unfinished"
    if is_held(folder / LOCK):
        status = "running"
    use = IN_USE if status == "running" or folder.name in present.in_use else UNKNOWN if present.reason else ORPHANED
    reason = "; ".join(part for part in (stalled, present.reason if use == UNKNOWN else "") if part)
    size, changed_at = size_and_time(folder)
    return StoredRun(stage, model, dataset, folder, step, total, status, use, reason, size, changed_at)


def _json(path: Path) -> dict[str, Any]:
    """Return a file's mapping, an empty one where it is missing or torn."""
    with contextlib.suppress(UserError):
        content = read_json(path)
        return content if isinstance(content, dict) else {}
    return {}


def _folders(parent: Path) -> list[Path]:
    """Return the folders in a folder that may be missing, sorted."""
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
