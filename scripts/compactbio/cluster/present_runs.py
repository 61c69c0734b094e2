"""The fingerprints that the present run files and inputs give: which checkpoints a next start would take up."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import read_yaml
from compactbio.finetuning.runs.digests import dataset_digest, model_digest
from compactbio.finetuning.runs.grid import choose_point, plan_trials
from compactbio.finetuning.runs.planning import plan_runs
from compactbio.pretraining.inputs import RECIPE, read_inputs
from compactbio.settings.finetuning_run import read_finetuning_run
from compactbio.settings.results import Results, find
from compactbio.training.fingerprint import fingerprint

IN_USE, ORPHANED, UNKNOWN = "in use", "orphaned", "unknown"


@dataclass
class PresentRuns:
    """Fingerprints in use, and those for which it is not known, with the reason."""

    in_use: set[str] = field(default_factory=set)
    doubtful: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    """Why it is not known for any, where that is so."""

    def use_of(self, name: str) -> tuple[str, str]:
        """Return `in use`, `orphaned` or `unknown` for a fingerprint, and the reason for unknown."""
        if name in self.in_use:
            return IN_USE, ""
        reason = self.reason or self.doubtful.get(name, "")
        return (UNKNOWN, reason) if reason else (ORPHANED, "")


def present_pretraining(results: Path, model: str) -> PresentRuns:
    """Return the fingerprints of a model's pre-training under a results folder, laid out as the rules do."""
    present, tree = PresentRuns(), Results(results)
    run_file, student = tree.pretraining(model).run, tree.students.initialised(model).folder
    try:
        run = _read_run(run_file)
        stores = find(tree, tree.corpus.token_store(str(run.get("tokenizer")), "*").manifest)
        if not stores:
            raise UserError(f"no token store of {run.get('tokenizer')} is there")
        teacher = run.get("teacher")
        for folder in [None] if teacher is None else _model_folders(tree, teacher):
            inputs = read_inputs(run_file, student, folder, stores)
            present.in_use.add(inputs.fingerprint)
            # the configuration may use fewer shards of the corpus than there are; it always uses the first ones
            for count in range(1, len(stores)):
                left_out = {f"tokens/{number:04d}" for number in range(count + 1, len(stores) + 1)}
                digests = {role: digest for role, digest in inputs.digests.items() if role not in left_out}
                reason = f"made with the first {count} of the {len(stores)} token stores that are there"
                present.doubtful[fingerprint(inputs.run, digests, RECIPE)] = reason
    except UserError as error:
        present.reason = str(error)
    return present


def present_finetuning(results: Path, model: str, dataset: str) -> PresentRuns:
    """Return the fingerprints of a model's runs on a dataset under a results folder, laid out as the rules do."""
    present, tree = PresentRuns(), Results(results)
    try:
        settings = read_finetuning_run(tree.finetuning(model, dataset).run)
        stage = settings.get("starts_from")
        starts = [tree.finetuning(model, stage).model.folder] if stage else _model_folders(tree, model)
        for folder in starts:
            digests = {"model": model_digest(folder), "dataset": dataset_digest(tree.tasks.dataset(dataset).folder)}
            checkpoints = tree.checkpoints.finetuning(model, dataset)
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


def _read_run(path: Path) -> dict[str, Any]:
    """Return the content of a run.yaml."""
    run = read_yaml(path)
    if not isinstance(run, dict):
        raise UserError(f"{path} is not a run")
    return run


def _model_folders(tree: Results[Path], name: str) -> list[Path]:
    """Return where a model may be read from: trained here, fetched, or both, since only the configuration knows."""
    trained, fetched = tree.pretraining(name), tree.students.fetched(name).folder
    folders = [trained.model.folder] if trained.folder.is_dir() else []
    if fetched.is_dir() or not folders:
        folders.append(fetched)
    return folders
