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
from compactbio.pretraining.inputs import read_inputs
from compactbio.settings.results import Results, find
from compactbio.settings.runs import read_finetuning_run
from compactbio.settings.selection import corpus_shards, is_trained

IN_USE, ORPHANED, UNKNOWN = "in use", "orphaned", "unknown"


@dataclass
class PresentRuns:
    """Fingerprints in use, and why it is not known of others, where that is so."""

    in_use: set[str] = field(default_factory=set)
    reason: str = ""

    def use_of(self, name: str) -> tuple[str, str]:
        """Return `in use`, `orphaned` or `unknown` for a fingerprint, and the reason for unknown."""
        if name in self.in_use:
            return IN_USE, ""
        return (UNKNOWN, self.reason) if self.reason else (ORPHANED, "")


def present_pretraining(results: Path, model: str, config: dict[str, Any] | None = None) -> PresentRuns:
    """Return the fingerprints of a model's pre-training under a results folder, laid out as the rules do.

    Args:
        results: the folder.
        model: whose pre-training.
        config: the configuration that the results are of, which says where models come from and which shards of the
            corpus are used; None: whatever is there may be used.
    """
    present, tree = PresentRuns(), Results(results)
    try:
        run = _read_run(tree.pretraining(model).run)
        tokenizer = str(run.get("tokenizer"))
        stores = find(tree, tree.corpus.token_store(tokenizer, "*").manifest)
        if config is not None:
            stores = [tree.corpus.token_store(tokenizer, shard).manifest for shard in corpus_shards(config)]
        elif len(stores) > 1:
            present.reason = f"whether all {len(stores)} token stores are used is known with --configfile only"
        if not stores:
            raise UserError(f"no token store of {tokenizer} is there")
        teacher, student = run.get("teacher"), tree.students.initialised(model).folder
        for folder in [None] if teacher is None else _model_folders(tree, teacher, config):
            present.in_use.add(read_inputs(tree.pretraining(model).run, student, folder, stores).fingerprint)
    except UserError as error:
        present.reason = str(error)
    return present


def present_finetuning(results: Path, model: str, dataset: str, config: dict[str, Any] | None = None) -> PresentRuns:
    """Return the fingerprints of a model's runs on a dataset; see `present_pretraining`."""
    present, tree = PresentRuns(), Results(results)
    try:
        settings = read_finetuning_run(tree.finetuning(model, dataset).run)
        stage = settings.get("starts_from")
        starts = [tree.finetuning(model, stage).model.folder] if stage else _model_folders(tree, model, config)
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


def _model_folders(tree: Results[Path], name: str, config: dict[str, Any] | None) -> list[Path]:
    """Return where a model is read from: trained here or fetched; without a configuration each that is there."""
    trained, fetched = tree.pretraining(name), tree.students.fetched(name).folder
    if config is not None:
        return [trained.model.folder if is_trained(config, name) else fetched]
    folders = [trained.model.folder] if trained.folder.is_dir() else []
    if fetched.is_dir() or not folders:
        folders.append(fetched)
    return folders
