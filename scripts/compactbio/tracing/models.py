"""A model back to its pre-training, student, teacher and tokens, or to where it was fetched from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import MANIFEST, Manifest, read_json
from compactbio.pretraining.inputs import RECIPE
from compactbio.provenance import Provenance, Submission
from compactbio.settings.runs import PretrainingRun, read_pretraining_run
from compactbio.tracing.chain import Chain
from compactbio.tracing.corpus import trace_store
from compactbio.training.checkpoints import fingerprint

TOKENS = "tokens/"  # begins the role of a token store among a training's inputs


def manifest_digest(folder: Path) -> str:
    """Return the digest in a model folder's manifest, which covers its card too."""
    return str(read_json(folder / MANIFEST)["digest"])


def trace_model(
    chain: Chain, name: str, recorded: str | None, digest_of: Callable[[Path], str] = manifest_digest
) -> None:
    """Walk from a usable model, trained here or fetched, to what it was made of.

    What uses it names it by the digest `recorded`, made by `digest_of`; None if that is not known.
    """
    trained, fetched = chain.results.pretraining(name).model, chain.results.students.fetched(name)
    there = [artefact for artefact in (trained, fetched) if artefact.folder.is_dir()]
    if not there:
        chain.gap(f"the model {name} is neither in {trained.folder} nor in {fetched.folder}")
        return
    found = next((artefact for artefact in there if recorded == _digest(digest_of, artefact.folder)), there[0])
    folder, manifest = found.folder, chain.manifest(found.folder)
    if manifest is None:
        return
    made = "trained here" if found is trained else "fetched"
    chain.say(f"model {name}, {made}: {folder}, digest {manifest['digest'][:16]}")
    with chain.below():
        if recorded is not None:
            chain.same(f"digest of {folder}, as used", recorded, _digest(digest_of, folder))
        if not chain.enter(folder):
            return
        record = chain.origin(found, manifest)
        if found is trained:
            _trace_training(chain, name, manifest, record)
            return
        origin = ", ".join(f"{key} {value}" for key, value in manifest["origin"].items() if key != "source")
        chain.say(f"from {manifest['origin']['source']}: {origin}")
        with chain.below():
            chain.files({} if record is None else record["inputs"])


def _digest(digest_of: Callable[[Path], str], folder: Path) -> str | None:
    """Return a folder's digest, None where its files are not whole."""
    try:
        return digest_of(folder)
    except UserError:
        return None


def _trace_training(chain: Chain, name: str, manifest: Manifest, exported: Provenance | None) -> None:
    """Walk from an exported model to its pre-training and that run's inputs."""
    made = chain.results.pretraining(name)
    if not chain.there(made.run):
        return
    run = read_pretraining_run(made.run)
    chain.say(f"pre-training {made.folder}: {run['optimisation']['steps']:,} steps, seed {run['seed']}")
    with chain.below():
        record = chain.record(made.provenance)
        if record is None:
            return
        chain.say(f"fingerprint {record['fingerprint']}")
        stated = manifest["origin"].get("fingerprint")
        chain.same(f"fingerprint that {name}/{made.model.folder.name} names", stated, record["fingerprint"])
        inputs = record["inputs"]
        if "recipe" in record:
            given = fingerprint(run, inputs, record["recipe"])
            chain.same(f"fingerprint of {made.run} and the inputs", record["fingerprint"], given)
        elif fingerprint(run, inputs, RECIPE) != record["fingerprint"]:
            chain.gap(f"{made.provenance} names no recipe: an older version wrote it")
        _trace_submissions(chain, record.get("submissions"))
        if exported is not None:
            chain.same("student of the export", exported["inputs"]["student"], inputs["student"])
        _trace_student(chain, name, inputs["student"])
        if run["teacher"] is not None:
            chain.say("teacher:")
            with chain.below():
                trace_model(chain, run["teacher"], inputs["teacher"])
        _trace_tokens(chain, run, inputs)


def _trace_submissions(chain: Chain, submissions: list[Submission] | None) -> None:
    """Say in how many submissions a training was made, and what each gained."""
    if submissions is None:
        chain.gap("submissions were not recorded: an older version trained it")
        return
    chain.say(f"submissions: {len(submissions)}")
    with chain.below():
        chain.many(
            f"{one['started']} on {one['host']}{' job ' + one['job'] if one['job'] else ''}, "
            f"{one['processes']} process(es), {one.get('gpus', 0)} GPU(s): step {one['from_step']:,} to "
            f"{one.get('to_step', one['from_step']):,}, {one.get('seconds', 0):,.1f} s, "
            f"{one.get('reason', 'not ended')}"
            for one in submissions
        )


def _trace_student(chain: Chain, name: str, recorded: str) -> None:
    """Walk from the student before its first step to what it was cut from."""
    student = chain.results.students.initialised(name)
    manifest = chain.manifest(student.folder)
    if manifest is None:
        return
    chain.say(f"student before training {student.folder}: digest {manifest['digest'][:16]}")
    with chain.below():
        chain.same(f"digest of {student.folder} in the training's inputs", recorded, manifest["digest"])
        chain.origin(student, manifest)
        origin = manifest["origin"]
        if "from" not in origin:
            chain.say(f"{origin['source']}: random weights, seed {origin['seed']}")
            return
        chain.say(f"{origin['source']} of {origin['from']}:")
        with chain.below():
            trace_model(chain, origin["from"], origin["digest"])


def _trace_tokens(chain: Chain, run: PretrainingRun, inputs: dict[str, str]) -> None:
    """Walk from a training to its token stores."""
    stores = [role for role in inputs if role.startswith(TOKENS)]
    chain.say(f"tokens, {len(stores)} stores of the tokenizer {run['tokenizer']}:")
    with chain.below():
        for role in stores:
            trace_store(chain, run["tokenizer"], role.removeprefix(TOKENS), inputs[role])
