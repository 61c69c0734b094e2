"""A model back to its pre-training, student, teacher and tokens, or to where it was fetched from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import read_json, read_yaml
from compactbio.finetuning.runs.digests import model_digest
from compactbio.pretraining.inputs import RECIPE
from compactbio.provenance import PROVENANCE
from compactbio.tracing.chain import Chain
from compactbio.tracing.corpus import trace_store
from compactbio.training.fingerprint import fingerprint

TOKENS = "tokens/"


def manifest_digest(folder: Path) -> str:
    """Return the digest in a model folder's manifest, which covers its card too."""
    return read_json(folder / "manifest.json")["digest"]


def trace_model(
    chain: Chain,
    depth: int,
    results: Path,
    name: str,
    recorded: str | None,
    digest_of: Callable[[Path], str] = manifest_digest,
) -> None:
    """Walk from a usable model, trained here or fetched, to what it was made of.

    Args:
        recorded: its digest as what uses it names it, None if that is not known.
        digest_of: how that digest is made.
    """
    trained = results / "pretraining" / name / "model"
    there = [folder for folder in (trained, results / "students" / "fetched" / name) if folder.is_dir()]
    if not there:
        chain.gap(depth, f"the model {name} is neither in {trained} nor in {results / 'students' / 'fetched'}")
        return
    folder = next((folder for folder in there if recorded == _digest(digest_of, folder)), there[0])
    manifest = chain.manifest(depth, folder)
    if manifest is None:
        return
    made = "trained here" if folder == trained else "fetched"
    chain.say(depth, f"model {name}, {made}: {folder}, digest {manifest['digest'][:16]}")
    if recorded is not None:
        chain.same(depth + 1, f"digest of {folder}, as used", recorded, _digest(digest_of, folder))
    if not chain.enter(depth + 1, folder):
        return
    record = chain.origin(depth + 1, folder, manifest)
    if folder == trained:
        _trace_training(chain, depth + 1, results, name, manifest, record)
    else:
        origin = {key: value for key, value in manifest["origin"].items() if key != "source"}
        chain.say(
            depth + 1, f"from {manifest['origin']['source']}: " + ", ".join(f"{k} {v}" for k, v in origin.items())
        )
        chain.many(depth + 2, (f"{file}: sha256 {digest}" for file, digest in record.get("inputs", {}).items()))


def _digest(digest_of: Callable[[Path], str], folder: Path) -> str | None:
    """Return a folder's digest, None where its files are not whole."""
    try:
        return digest_of(folder)
    except UserError:
        return None


def finetuned_digest(folder: Path) -> str:
    """Return the digest by which fine-tuning names a model."""
    return model_digest(folder)


def _trace_training(
    chain: Chain, depth: int, results: Path, name: str, manifest: dict[str, Any], exported: dict[str, Any]
) -> None:
    """Walk from an exported model to its pre-training and that run's inputs."""
    folder = results / "pretraining" / name
    if not (folder / "run.yaml").is_file():
        chain.gap(depth, f"{folder / 'run.yaml'} is not there")
        return
    run = read_yaml(folder / "run.yaml")
    chain.say(depth, f"pre-training {folder}: {run['optimisation']['steps']:,} steps, seed {run['seed']}")
    record = chain.record(depth + 1, folder / PROVENANCE)
    if not record:
        return
    chain.say(depth + 1, f"fingerprint {record['fingerprint']}")
    chain.same(
        depth + 1, f"fingerprint that {name}/model names", manifest["origin"].get("fingerprint"), record["fingerprint"]
    )
    recipe = record.get("recipe", RECIPE)
    given = fingerprint(run, record["inputs"], recipe)
    if given != record["fingerprint"] and "recipe" not in record:
        chain.gap(
            depth + 1, "run.yaml and inputs give another fingerprint under today's recipe; the run's is not recorded"
        )
    else:
        chain.same(depth + 1, f"fingerprint of {folder / 'run.yaml'} and the inputs", record["fingerprint"], given)
    _trace_submissions(chain, depth + 1, record)
    inputs = record["inputs"]
    if exported:
        chain.same(depth + 1, "student of the export", exported["inputs"]["student"], inputs["student"])
    _trace_student(chain, depth + 1, results, name, run, inputs["student"])
    if "teacher" in inputs:
        chain.say(depth + 1, "teacher:")
        trace_model(chain, depth + 2, results, run["teacher"], inputs["teacher"])
    stores = [role for role in inputs if role.startswith(TOKENS)]
    chain.say(depth + 1, f"tokens, {len(stores)} stores of the tokenizer {run['tokenizer']}:")
    for role in stores:
        trace_store(chain, depth + 2, results, run["tokenizer"], role.removeprefix(TOKENS), inputs[role])


def _trace_submissions(chain: Chain, depth: int, record: dict[str, Any]) -> None:
    """Say in how many submissions a training was made, and what each gained."""
    if "submissions" not in record:
        chain.gap(depth, "submissions were not recorded: an older version trained it")
        return
    chain.say(depth, f"submissions: {len(record['submissions'])}")
    chain.many(
        depth + 1,
        (
            f"{one['started']} on {one['host']}{' job ' + one['job'] if one.get('job') else ''}, "
            f"{one['processes']} process(es), {one.get('gpus', 0)} GPU(s): step {one['from_step']:,} to "
            f"{one.get('to_step', one['from_step']):,}, {one.get('seconds', 0):,.1f} s, "
            f"{one.get('reason', 'not ended')}"
            for one in record["submissions"]
        ),
    )


def _trace_student(chain: Chain, depth: int, results: Path, name: str, run: dict[str, Any], recorded: str) -> None:
    """Walk from the student before its first step to what it was cut from."""
    folder = results / "students" / "initialised" / name
    manifest = chain.manifest(depth, folder)
    if manifest is None:
        return
    chain.say(depth, f"student before training {folder}: digest {manifest['digest'][:16]}")
    chain.same(depth + 1, f"digest of {folder} in the training's inputs", recorded, manifest["digest"])
    chain.origin(depth + 1, folder, manifest)
    origin = manifest["origin"]
    if "from" in origin:
        chain.say(depth + 1, f"{origin['source']} of {origin['from']}:")
        trace_model(chain, depth + 2, results, origin["from"], origin["digest"])
    else:
        chain.say(depth + 1, f"{origin['source']}: random weights, seed {origin['seed']}")
