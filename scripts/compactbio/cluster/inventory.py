"""The runs whose checkpoints are kept under a results folder, and which of them nothing refers to any more."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compactbio.cluster.present_runs import IN_USE, PresentRuns, present_finetuning, present_pretraining
from compactbio.errors import UserError
from compactbio.files import MANIFEST, read_json
from compactbio.finetuning.runs.records import FINISHED, RESULT
from compactbio.settings.results import FINETUNING, PRETRAINING, Results
from compactbio.text_tables import aligned_columns
from compactbio.training.checkpoints import PREFIX, STATE
from compactbio.training.tries import LOCK, STALLED

FINGERPRINT = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class StoredRun:
    """One run's folder and how far it came; `total` is None where it does not say.

    `status` is finished, unfinished, stalled or running; `reason` says why it is stalled or its use unknown.
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


def stored_runs(results: Path, config: dict[str, Any] | None = None) -> list[StoredRun]:
    """Return all runs kept under <results>/checkpoints/, by stage, model, dataset and use.

    Args:
        results: the folder.
        config: the configuration that the results are of; without one less is known of what is in use.
    """
    checkpoints = Results(results).checkpoints
    runs = []
    for parent in _folders(checkpoints.pretrainings):
        runs += _runs_in(parent, PRETRAINING, parent.name, "", present_pretraining(results, parent.name, config))
    for model in _folders(checkpoints.finetunings):
        for parent in _folders(model):
            present = present_finetuning(results, model.name, parent.name, config)
            runs += _runs_in(parent, FINETUNING, model.name, parent.name, present)
    order = {PRETRAINING: 0, FINETUNING: 1}
    return sorted(runs, key=lambda run: (order[run.stage], run.model, run.dataset, run.use, run.fingerprint))


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
    elif (folder / STALLED).is_file():
        status, stalled = "stalled", (folder / STALLED).read_text(encoding="utf-8").strip()
    else:
        status = "finished" if state.get("finished") else "unfinished"
    use, doubt = present.use_of(folder.name)
    if _is_running(folder):
        status, use, doubt = "running", IN_USE, ""
    reason = "; ".join(part for part in (stalled, doubt) if part)
    size, changed_at = _size_and_time(folder)
    return StoredRun(stage, model, dataset, folder, step, total, status, use, reason, size, changed_at)


def _is_running(folder: Path) -> bool:
    """Return whether a process holds the run's lock."""
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _size_and_time(folder: Path) -> tuple[int, float]:
    """Return the bytes in a folder and when one of its files last changed; files may go while they are counted."""
    size, latest = 0, folder.stat().st_mtime
    for path in folder.rglob("*"):
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue
        size += facts.st_size if path.is_file() else 0
        latest = max(latest, facts.st_mtime)
    return size, latest


def _json(path: Path) -> dict[str, Any]:
    """Return a file's mapping, an empty one where it is missing or torn."""
    try:
        content = read_json(path)
    except UserError:
        return {}
    return content if isinstance(content, dict) else {}


def _folders(parent: Path) -> list[Path]:
    """Return the folders in a folder that may be missing, sorted."""
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
