"""A fine-tuning back to its predictions, its dataset and that one's source, and the model or stage it started from."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from compactbio.files import read_json
from compactbio.finetuning.runs.digests import dataset_digest, model_digest
from compactbio.finetuning.runs.grid import GRID, at_point
from compactbio.finetuning.runs.planning import RECIPE, plan_runs
from compactbio.finetuning.runs.records import NamedResult, TrainingRecord, read_training
from compactbio.provenance import Provenance
from compactbio.settings.runs import FinetuningRun, read_finetuning_run
from compactbio.tracing.chain import Chain, made_in_words
from compactbio.tracing.models import trace_model


def trace_finetuning(chain: Chain, model: str, dataset: str, runs: Collection[str] | None) -> None:
    """Walk from runs (None: all) of a model on a dataset to that dataset and to the model they started from."""
    made = chain.results.finetuning(model, dataset)
    if not (chain.there(made.run) and chain.there(made.training)):
        return
    settings, training = read_finetuning_run(made.run), read_training(made.training)
    chain.say(f"fine-tuning {made.folder}")
    with chain.below():
        record = chain.record(made.provenance)
        inputs = {} if record is None else record["inputs"]
        if record is not None:
            chain.same(f"fingerprint in {made.training.name}", record["fingerprint"], training["fingerprint"])
        given = {} if record is None else _fingerprints(settings, training, record)
        for run in training["runs"]:
            if runs is None or run["run"] in runs:
                _trace_run(chain, run, record, given)
        predictions = made.predictions
        digest = None if record is None else record["outputs"].get(predictions.name)
        chain.say(f"predictions {predictions}: sha256 {digest or 'not recorded'}")
        chain.file(predictions, digest)
        _trace_dataset(chain, dataset, inputs.get("dataset"))
        stage = settings.get("starts_from")
        if stage is None:
            trace_model(chain, model, inputs.get("model"), _model_digest)
        else:
            _trace_stage(chain, model, stage, inputs.get("model"))


def _model_digest(folder: Path) -> str:
    """Return a model folder's digest as its manifest gives it: the chain compares the files themselves."""
    return model_digest(folder, contents=False)


def _trace_run(chain: Chain, run: NamedResult, record: Provenance | None, given: dict[str, str]) -> None:
    """Say how a run was made, and compare its fingerprint with its record and with what the inputs give."""
    name = run["run"]
    chain.say(f"{name}: seed {run['seed']}, fold {run['fold']}, {run['steps']:,} steps, {run['seconds']:,.1f} s")
    with chain.below():
        chain.say(f"fingerprint {run['fingerprint']}")
        if record is None:
            return
        own = record["runs"].get(name, {})
        if "code" in own:
            chain.say(f"made {made_in_words(own)}; {own['tries']} tries")
        chain.same(f"fingerprint of {name} in its provenance", own.get("fingerprint"), run["fingerprint"])
        if given:
            chain.same(f"fingerprint of run.yaml and inputs, {name}", run["fingerprint"], given.get(name))


def _trace_stage(chain: Chain, model: str, stage: str, recorded: str | None) -> None:
    """Walk from the weights of an earlier fine-tuning, used with the digest `recorded`, to its first run's origin."""
    made = chain.results.finetuning(model, stage)
    folder = made.model.folder
    weights = recorded[:16] if recorded else "not recorded"
    chain.say(f"started from {model} fine-tuned on {stage}: {folder}, digest {weights}")
    training = read_training(made.training) if made.training.is_file() else None
    with chain.below():
        manifest = chain.manifest(folder)
        if recorded is not None and manifest is not None:
            chain.same(f"digest of {folder}, as used", recorded, manifest["digest"])
        if recorded is not None and training is not None:
            chain.same(f"digest of the weights in {made.training}", recorded, training.get("weights"))
        first = [run["run"] for run in ([] if training is None else training["runs"])[:1]]
        trace_finetuning(chain, model, stage, first)


def _fingerprints(settings: FinetuningRun, training: TrainingRecord, record: Provenance) -> dict[str, str]:
    """Return the fingerprints that run.yaml (at the chosen point of its grid) and the inputs give, by run.

    None where the runs were made by another recipe than today's.
    """
    if {run.get("recipe", RECIPE) for run in record["runs"].values()} != {RECIPE}:
        return {}
    grid = settings["hyperparameters"].get(GRID)
    if grid:
        [chosen] = [point for point in training["grid"] if point["chosen"]]
        settings = at_point(settings, {name: chosen[name] for name in grid})
    return {run.name: run.fingerprint for run in plan_runs(settings, record["inputs"], Path())}


def _trace_dataset(chain: Chain, name: str, recorded: str | None) -> None:
    """Walk from a prepared dataset, whose rows' digest the fine-tuning names as `recorded`, to its source's files."""
    dataset = chain.results.tasks.dataset(name)
    folder = dataset.folder
    manifest = chain.manifest(folder)
    if manifest is None:
        return
    rows = ", ".join(f"{split} {counts['rows']:,}" for split, counts in manifest["counts"].items() if "rows" in counts)
    chain.say(f"prepared dataset {folder}: digest {manifest['digest'][:16]}{f', rows {rows}' if rows else ''}")
    with chain.below():
        if recorded is not None:
            what = f"digest of the rows of {folder} in the fine-tuning's inputs"
            chain.same(what, recorded, dataset_digest(folder, contents=False))
        record = chain.origin(dataset, manifest)
        used = manifest["inputs"]
        if record is not None:
            kept = {name: digest for name, digest in record["inputs"].items() if name in used}
            chain.same(f"files in {dataset.provenance}", kept, used)
        source = None if record is None else record.get("source")
        if source is not None and record is not None:
            _trace_source(chain, chain.results.tasks.source(source), used, record)
            return
        chain.say("files of the user's own:" if record else "files it was made of:")
        with chain.below():
            chain.files(used)


def _trace_source(chain: Chain, path: Path, used: dict[str, str], record: Provenance) -> None:
    """Walk from a source's manifest to its archive."""
    if not chain.there(path):
        return
    source = read_json(path)
    chain.say(f"source {source['source']} (version {source['version'] or 'none'}), {path}")
    with chain.below():
        if "source" in record["inputs"]:
            chain.same(f"digest of {path}", record["inputs"]["source"], source["digest"])
        by_digest = {file["sha256"]: name for name, file in source["files"].items()}
        found = {}
        for name, digest in used.items():
            member = by_digest.get(digest)
            if member is None:
                chain.broken(f"{name} (sha256 {digest[:16]}) is not among the files of {path}")
                continue
            found[member] = digest
            chain.file(Path(source["folder"]) / member, digest)
        chain.files(found)
        archive = source["archive"]
        chain.say(f"from {source['url']}: sha256 {archive['sha256']}")
        place = Path(archive["path"])
        if place.is_dir():
            chain.gap(f"{place} is a folder, whose digest is not computed again; those of its files stand above")
        else:
            chain.file(place, archive["sha256"])
