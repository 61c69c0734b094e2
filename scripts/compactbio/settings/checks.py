"""Keys that must fit each other: every refusal names the key and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import date
from typing import Any

from compactbio.architectures import ARCHITECTURES, AUTO
from compactbio.errors import UserError
from compactbio.settings.benchmarks import benchmark_faults
from compactbio.settings.datasets import dataset_faults
from compactbio.settings.names import cycles, undefined
from compactbio.settings.selection import finetuned_datasets, source_of, student_parts, tokenizer_giver
from compactbio.settings.shapes import positions_of, shape_faults, sizes_of
from compactbio.terms import objective
from compactbio.training.optimizer_settings import optimizer_faults


def check_relations(config: dict[str, Any], source_names: set[str] | None, reserved_names: Collection[str]) -> None:
    """Raise one UserError that lists every contradiction between keys of a schema-valid configuration.

    Arguments are those of `load_settings`, the placeholders of the configuration filled. A model's name is a target of
    the workflow, so no model may have a name that is taken.
    """
    faults = [
        *_run_faults(config),
        *benchmark_faults(config),
        *(_row_faults(config, source_names) if source_names is not None else ()),
        *_corpus_faults(config),
        *_checkpoint_faults(config),
        *_model_faults(config, reserved_names),
        *dataset_faults(config, source_names),
    ]
    if faults:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        raise UserError(f"the configuration has {len(faults)} contradiction(s):\n{listed}")


def _run_faults(config: dict[str, Any]) -> Iterator[str]:
    """Yield faults of `run` and `reporting`: names without a definition."""
    run, models, datasets = config["run"], config["models"], config["datasets"]
    for name in run["models"]:
        yield from undefined("run.models", name, models)
    for name in run["datasets"]:
        yield from undefined("run.datasets", name, datasets)
    for name in run["keep_weights"]:
        yield from undefined("run.keep_weights", name, datasets)
        if name in datasets and name not in finetuned_datasets(config):
            yield f"run.keep_weights: `{name}` is not in run.datasets, so no model is fine-tuned on it; add it there"
    baseline = config["reporting"]["baseline_model"]
    yield from undefined("reporting.baseline_model", baseline, models)
    if baseline in models and baseline not in run["models"]:
        yield (
            f"reporting.baseline_model: `{baseline}` is not in run.models, so percentages have nothing to refer to; "
            f"add it there or name one of {', '.join(run['models'])}"
        )
    yield from undefined("reporting.deployment_dataset", config["reporting"]["deployment_dataset"], datasets)
    for name in sorted(set(models) & set(config["checkpoints"])):
        yield f"models.{name}: the name is also a checkpoint's; a teacher could be either, so rename one"


def _row_faults(config: dict[str, Any], source_names: set[str]) -> Iterator[str]:
    """Yield every `described_by` that is no row of config/data_sources.tsv."""
    places = {"corpus": config["corpus"]}
    for kind in ("checkpoints", "models", "datasets"):
        places |= {f"{kind}.{name}": entry for name, entry in config[kind].items()}
    for place, entry in places.items():
        yield from undefined(f"{place}.described_by", entry.get("described_by"), source_names)


def _corpus_faults(config: dict[str, Any]) -> Iterator[str]:
    """Yield faults of `corpus`."""
    corpus = config["corpus"]
    baseline = corpus["baseline"]
    if corpus["source"] == "documents" and not corpus["documents"]:
        yield "corpus.documents: empty though corpus.source is `documents`; list your files"
    if corpus["source"] == "baseline":
        beyond = [number for number in baseline["numbers"] or [] if number > baseline["files"]]
        if beyond:
            yield f"corpus.baseline.numbers: {beyond} beyond corpus.baseline.files = {baseline['files']}"
        if baseline["as_of"] is not None:
            try:
                date.fromisoformat(baseline["as_of"])
            except ValueError:
                yield f"corpus.baseline.as_of: {baseline['as_of']} is not a date YYYY-MM-DD"


def _source_faults(config: dict[str, Any], place: str, entry: dict[str, Any]) -> Iterator[str]:
    """Yield faults that a checkpoint and a model share: its source, its path and its tokenizer."""
    if entry["source"] == "hub" and not entry.get("hub"):
        yield f"{place}.hub: needed since {place}.source is `hub`: {{repository: owner/name, revision: main}}"
    if entry["source"] == "path" and not entry.get("path"):
        yield f"{place}.path: needed since {place}.source is `path`: the folder of the model"
    yield from undefined(f"{place}.tokenizer", entry["tokenizer"], config["tokenizers"])


def _checkpoint_faults(config: dict[str, Any]) -> Iterator[str]:
    """Yield faults of `checkpoints` and `tokenizers`."""
    checkpoints = config["checkpoints"]
    for name, entry in checkpoints.items():
        yield from _source_faults(config, f"checkpoints.{name}", entry)
    for name, entry in config["tokenizers"].items():
        checkpoint, place = entry["checkpoint"], f"tokenizers.{name}.checkpoint"
        yield from undefined(place, checkpoint, checkpoints)
        if checkpoint in checkpoints and checkpoints[checkpoint]["tokenizer"] != name:
            yield f"{place}: `{checkpoint}` says its tokenizer is `{_shown(checkpoints[checkpoint]['tokenizer'])}`"


def _model_faults(config: dict[str, Any], reserved_names: Collection[str]) -> Iterator[str]:
    """Yield faults of `models`; what only training needs is asked for only where `source` is `train`."""
    trained = {name: model for name, model in config["models"].items() if model["source"] == "train"}
    circles = list(cycles({name: model.get("teacher") for name, model in trained.items()}))
    for circle in circles:
        yield f"models.{circle[0]}.teacher: the teachers form a cycle ({' -> '.join(circle)}); break it"
    for name, model in config["models"].items():
        if name in reserved_names:
            yield f"models.{name}: the name is taken by a target or rule of the workflow; choose another"
        yield from _source_faults(config, f"models.{name}", model)
    for name, model in trained.items():
        unknown = list(_unknown_architectures(config, name, model))
        if unknown:
            yield from unknown
            continue
        yield from _student_faults(config, name, model)
        yield from _tokenizer_faults(config, name, model)
        yield from _optimisation_faults(config, name, model)
        if not circles:  # sizes are looked up from teacher to teacher
            yield from _length_faults(config, name, model)
            yield from _objective_faults(config, name, model)


def _unknown_architectures(config: dict[str, Any], name: str, model: dict[str, Any]) -> Iterator[str]:
    """Yield where the architecture of a trained model, its teacher or its start is not said, as training needs it."""
    sources = {f"models.{name}": model}
    for key, other in (
        ("teacher", model.get("teacher")),
        ("student.checkpoint", student_parts(model).get("checkpoint")),
    ):
        if other is not None:
            sources[f"models.{name}.{key} (`{other}`)"] = source_of(config, other) or {}
    for place, entry in sources.items():
        if entry.get("architecture") == AUTO:
            known = ", ".join(ARCHITECTURES)
            yield f"{place}: architecture `{AUTO}` is evaluated, not trained or distilled; name it, one of {known}"


def _length_faults(config: dict[str, Any], name: str, model: dict[str, Any]) -> Iterator[str]:
    """Yield where the corpus has sequences that are longer than a trained model or its teacher takes."""
    longest = config["corpus"]["max_length"]
    # a shape's own positions are looked at with its other sizes
    for read in ([] if "shape" in student_parts(model) else [name]) + [model.get("teacher") or ""]:
        if source_of(config, read) is not None and positions_of(config, read) < longest:
            yield f"corpus.max_length: {longest} exceeds the {positions_of(config, read)} positions of `{read}`"


def _tokenizer_faults(config: dict[str, Any], name: str, model: dict[str, Any]) -> Iterator[str]:
    """Yield faults of a trained model's tokenizer where it is a checkpoint's own, as published."""
    if model["tokenizer"] is not None:
        return
    place, giver = f"models.{name}.tokenizer", tokenizer_giver(model)
    if giver is None:
        yield (
            f"{place}: null is the tokenizer of student.checkpoint or of the teacher, and {name} has neither; name one "
            "of `tokenizers`"
        )
    elif giver in config["tokenizers"]:
        yield (
            f"{place}: null is that of `{giver}`, whose token stores would lie where those of tokenizers.{giver} do; "
            "rename one of them"
        )


def _student_faults(config: dict[str, Any], name: str, model: dict[str, Any]) -> Iterator[str]:
    """Yield faults of a trained model's student and teacher."""
    place, student = f"models.{name}", student_parts(model)
    if len(student) != 1:
        yield (
            f"{place}.student: exactly one of teacher_layers, checkpoint and shape must be set "
            f"(found: {', '.join(student) or 'none'}; null unsets one)"
        )
    if "shape" in student:
        yield from shape_faults(
            f"{place}.student.shape", model["architecture"], student["shape"], config["corpus"]["max_length"]
        )
    checkpoint = student.get("checkpoint")
    yield from undefined(f"{place}.student.checkpoint", checkpoint, config["checkpoints"])
    entry = config["checkpoints"].get(checkpoint, model)  # what is not defined differs in nothing
    for key in ("architecture", "tokenizer"):
        if entry[key] != model[key]:
            ours, theirs = _shown(model[key]), _shown(entry[key])
            yield f"{place}.{key}: `{ours}`, but checkpoints.{checkpoint}.{key} is `{theirs}`"
    teacher = model.get("teacher")
    if teacher is None:
        if "teacher_layers" in student:
            yield f"{place}.teacher: needed, since {place}.student.teacher_layers copies its layers"
        return
    yield from undefined(f"{place}.teacher", teacher, {**config["checkpoints"], **config["models"]})
    entry = source_of(config, teacher) or model
    if entry["tokenizer"] != model["tokenizer"]:
        yield (
            f"{place}.tokenizer: `{_shown(model['tokenizer'])}`, but the teacher `{teacher}` has "
            f"`{_shown(entry['tokenizer'])}`: every term compares the two token by token, also one that reads no "
            f"logits; set it to `{_shown(entry['tokenizer'])}` with {place}.student.shape or teacher_layers, or name "
            f"another {place}.teacher"
        )
    if "teacher_layers" in student and entry["architecture"] != model["architecture"]:
        yield (
            f"{place}.architecture: `{model['architecture']}`, but the teacher whose layers are copied is "
            f"a `{entry['architecture']}`"
        )


def _shown(value: str | None) -> str:
    """Return a value as a configuration has it."""
    return "null" if value is None else value


def _optimisation_faults(config: dict[str, Any], name: str, model: dict[str, Any]) -> Iterator[str]:
    """Yield faults of a trained model's optimisation, after merging it over the common one."""
    place = f"models.{name}.optimisation"
    optimisation = {**config["pretraining"]["optimisation"], **model.get("optimisation", {})}
    needed = ("steps", "warmup_steps", "peak_learning_rate", "weight_decay", "global_batch_size", "schedule")
    missing = [key for key in needed if key not in optimisation]
    if missing:
        yield f"{place}: missing {', '.join(missing)}"
    elif optimisation["warmup_steps"] >= optimisation["steps"]:
        yield f"{place}.warmup_steps: {optimisation['warmup_steps']} is not below steps = {optimisation['steps']}"
    yield from optimizer_faults(place, optimisation)


def _objective_faults(config: dict[str, Any], name: str, model: dict[str, Any]) -> Iterator[str]:
    """Yield faults of a trained model's objective and of the layers it copies: depths, heads, what each term needs."""
    place, terms = f"models.{name}.objective", model.get("objective") or []
    if not terms:
        yield f"{place}: needed since models.{name}.source is `train`"
    for repeated, times in sorted(Counter(term["term"] for term in terms).items()):
        if times > 1:
            yield f"{place}: the term {repeated} occurs twice; merge its layers into one"
    has_teacher = model.get("teacher") is not None
    copied = student_parts(model).get("teacher_layers") or []
    refusal = ARCHITECTURES[model["architecture"]].refused_layers(copied) if copied else None
    if refusal is not None:
        yield f"models.{name}.student.teacher_layers: {copied}: {refusal}"
    student, teacher = sizes_of(config, name), sizes_of(config, model["teacher"]) if has_teacher else None
    beyond = [layer for layer in copied if teacher and layer >= teacher.layers]
    if teacher and beyond:
        yield (
            f"models.{name}.student.teacher_layers: {beyond} beyond the teacher's {teacher.layers} "
            f"layers, which count from 0 to {teacher.layers - 1}"
        )
    for index, given in enumerate(terms):
        entry = objective.read_entry(given, config["quirks"])
        faults = objective.shape_faults(entry, student, teacher, has_teacher=has_teacher)
        for fault in (*objective.key_faults(given), *faults):
            yield f"{place}[{index}] ({given['term']}){fault}"
