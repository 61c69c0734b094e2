"""A fine-tuning back to its predictions, its dataset, and the model that it started from: as it is, or a stage's."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from compactbio.finetuning.runs.grid import GRID, at_point
from compactbio.finetuning.runs.planning import RECIPE, plan_runs
from compactbio.finetuning.runs.records import NamedResult, TrainingRecord, read_training
from compactbio.finetuning.runs.run_files import PREDICTIONS
from compactbio.provenance import PROVENANCE
from compactbio.settings.finetuning_run import FinetuningRun, read_finetuning_run
from compactbio.settings.results import MODEL
from compactbio.tracing.chain import Chain, made_in_words
from compactbio.tracing.models import finetuned_digest, trace_model
from compactbio.tracing.tasks import trace_dataset


def trace_finetuning(
    chain: Chain, depth: int, results: Path, model: str, dataset: str, runs: Collection[str] | None
) -> None:
    """Walk from runs of a model on a dataset to that dataset and to the model they started from.

    Args:
        runs: names of the runs that are told; None: all.
    """
    folder = results / "finetuning" / model / dataset
    if not (folder / "run.yaml").is_file() or not (folder / "training.json").is_file():
        chain.gap(depth, f"{folder} lacks run.yaml or training.json")
        return
    settings, training = read_finetuning_run(folder / "run.yaml"), read_training(folder / "training.json")
    chain.say(depth, f"fine-tuning {folder}")
    record = chain.record(depth + 1, folder / PROVENANCE)
    inputs = record.get("inputs", {})
    if record:
        chain.same(depth + 1, "fingerprint in training.json", record["fingerprint"], training["fingerprint"])
    given = _fingerprints(settings, training, inputs) if record and _recipe(record) == RECIPE else {}
    for run in training["runs"]:
        if runs is None or run["run"] in runs:
            _trace_run(chain, depth + 1, run, record, given)
    predictions = folder / PREDICTIONS
    digest = record.get("outputs", {}).get(PREDICTIONS)
    chain.say(depth + 1, f"predictions {predictions}: sha256 {digest or 'not recorded'}")
    chain.file(depth + 1, predictions, digest)
    trace_dataset(chain, depth + 1, results, dataset, inputs.get("dataset"))
    stage = settings.get("starts_from")
    if stage is None:
        trace_model(chain, depth + 1, results, model, inputs.get("model"), finetuned_digest)
    else:
        _trace_stage(chain, depth + 1, results, model, stage, inputs.get("model"))


def _trace_run(chain: Chain, depth: int, run: NamedResult, record: dict[str, Any], given: dict[str, str]) -> None:
    """Say who made a run, and compare its fingerprint with its record and with what the inputs give."""
    name = run["run"]
    about = f"seed {run['seed']}, fold {run['fold']}, {run['steps']:,} steps, {run['seconds']:,.1f} s"
    chain.say(depth, f"{name}: {about}")
    chain.say(depth + 1, f"fingerprint {run['fingerprint']}")
    if not record:
        return
    own = record["runs"].get(name)
    if isinstance(own, dict) and "code" in own:
        chain.say(depth + 1, f"made {made_in_words(own)}; {own['tries']} tries")
    chain.same(depth + 1, f"fingerprint of {name} in provenance.json", _mark(own), run["fingerprint"])
    if given:
        what = f"fingerprint of run.yaml and inputs, {name}"
        chain.same(depth + 1, what, run["fingerprint"], given.get(name))


def _trace_stage(chain: Chain, depth: int, results: Path, model: str, stage: str, recorded: str | None) -> None:
    """Walk from the weights of an earlier fine-tuning to its first run, which left them.

    Args:
        recorded: their digest as what started from them names it, None if that is not known.
    """
    folder = results / "finetuning" / model / stage
    weights = recorded[:16] if recorded else "not recorded"
    chain.say(depth, f"started from {model} fine-tuned on {stage}: {folder / MODEL}, digest {weights}")
    training = read_training(folder / "training.json") if (folder / "training.json").is_file() else None
    manifest = chain.manifest(depth + 1, folder / MODEL)
    if recorded is not None and manifest is not None:
        chain.same(depth + 1, f"digest of {folder / MODEL}, as used", recorded, manifest["digest"])
    if recorded is not None and training:
        chain.same(depth + 1, f"digest of the weights in {folder / 'training.json'}", recorded, training.get("weights"))
    first = [run["run"] for run in training["runs"][:1]] if training else []
    trace_finetuning(chain, depth + 1, results, model, stage, first)


def _fingerprints(settings: FinetuningRun, training: TrainingRecord, inputs: dict[str, str]) -> dict[str, str]:
    """Return the fingerprints that run.yaml (at the chosen point of its grid) and the inputs give, by run."""
    grid = settings["hyperparameters"].get(GRID)
    if grid:
        [chosen] = [point for point in training["grid"] if point["chosen"]]
        settings = at_point(settings, {name: chosen[name] for name in grid})
    return {run.name: run.fingerprint for run in plan_runs(settings, inputs, Path())}


def _recipe(record: dict[str, Any]) -> int | None:
    """Return the recipe that the runs of a record were made with; today's where an older version did not say."""
    recipes = {run.get("recipe", RECIPE) if isinstance(run, dict) else RECIPE for run in record["runs"].values()}
    return recipes.pop() if len(recipes) == 1 else None


def _mark(record: dict[str, Any] | str | None) -> str | None:
    """Return the fingerprint in a run's record; older versions stored the fingerprint alone."""
    return record["fingerprint"] if isinstance(record, dict) else record
