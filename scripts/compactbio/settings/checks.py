"""Keys that must fit each other: every refusal names the key and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from compactbio.errors import UserError
from compactbio.settings.objectives import objective_faults
from compactbio.settings.runs import FOLDED_LAYOUTS, source_of

POSITIONS = 512  # position embeddings of BERT, DistilBERT and MobileBERT
LAYOUTS = {"ner": {"tagged_words"}, "re": {"gad", "sentences", "chemprot"}, "qa": {"bioasq", "squad"}}
FILES = {
    "tagged_words": {"train", "test"},
    "sentences": {"train", "test"},
    "bioasq": {"train", "test", "golden"},
    "squad": {"train", "test"},
    "gad": set(),
    "chemprot": set(),
}


def check_relations(config: dict[str, Any], source_names: set[str] | None = None) -> None:
    """Raise one UserError that lists every contradiction between keys of a schema-valid configuration.

    Args:
        config: the configuration, its placeholders filled.
        source_names: the rows of config/data_sources.tsv; None: not checked.
    """
    faults = [
        *_run_faults(config),
        *_corpus_faults(config),
        *_checkpoint_faults(config),
        *_model_faults(config),
        *_teacher_cycles(config),
        *_dataset_faults(config, source_names),
    ]
    if faults:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        raise UserError(f"the configuration has {len(faults)} contradiction(s):\n{listed}")


def _unknown(name: str, known: Any) -> str:
    """Return the tail of a message about a name that is not defined."""
    return f"`{name}` is not defined; known: {', '.join(sorted(known))}"


def _run_faults(config: dict[str, Any]) -> Iterator[str]:
    """Yield faults of `run` and `reporting`: names without a definition."""
    for kind in ("models", "datasets"):
        for name in config["run"][kind]:
            if name not in config[kind]:
                yield f"run.{kind}: {_unknown(name, config[kind])}"
    baseline = config["reporting"]["baseline_model"]
    if baseline not in config["models"]:
        yield f"reporting.baseline_model: {_unknown(baseline, config['models'])}"
    for name in sorted(set(config["models"]) & set(config["checkpoints"])):
        yield f"models.{name}: the name is also a checkpoint's; a teacher could be either, so rename one"


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
    if corpus["max_length"] > POSITIONS:
        yield f"corpus.max_length: {corpus['max_length']} exceeds the {POSITIONS} positions of these architectures"


def _source_faults(config: dict[str, Any], place: str, entry: dict[str, Any]) -> Iterator[str]:
    """Yield faults that a checkpoint and a model share: its source, its path and its tokenizer."""
    if entry["source"] == "hub" and not entry.get("hub"):
        yield f"{place}.hub: needed since {place}.source is `hub`: {{repository: owner/name, revision: main}}"
    if entry["source"] == "path" and not entry.get("path"):
        yield f"{place}.path: needed since {place}.source is `path`: the folder of the model"
    if entry["tokenizer"] not in config["tokenizers"]:
        yield f"{place}.tokenizer: {_unknown(entry['tokenizer'], config['tokenizers'])}"


def _checkpoint_faults(config: dict[str, Any]) -> Iterator[str]:
    """Yield faults of `checkpoints` and `tokenizers`."""
    for name, entry in config["checkpoints"].items():
        yield from _source_faults(config, f"checkpoints.{name}", entry)
    for name, entry in config["tokenizers"].items():
        checkpoint = entry["checkpoint"]
        if checkpoint not in config["checkpoints"]:
            yield f"tokenizers.{name}.checkpoint: {_unknown(checkpoint, config['checkpoints'])}"
        elif config["checkpoints"][checkpoint]["tokenizer"] != name:
            yield (
                f"tokenizers.{name}.checkpoint: `{checkpoint}` says its tokenizer is "
                f"`{config['checkpoints'][checkpoint]['tokenizer']}`"
            )


def _model_faults(config: dict[str, Any]) -> Iterator[str]:
    """Yield faults of `models`; what only training needs is asked for only where `source` is `train`."""
    for name, model in config["models"].items():
        place = f"models.{name}"
        yield from _source_faults(config, place, model)
        if model["source"] == "train":
            yield from _student_faults(config, name, model)
            yield from _optimisation_faults(config, name, model)
            yield from objective_faults(config, name)


def _student_faults(config: dict[str, Any], name: str, model: dict[str, Any]) -> Iterator[str]:
    """Yield faults of a trained model's student and teacher."""
    place = f"models.{name}"
    student = {key: value for key, value in (model.get("student") or {}).items() if value is not None}
    if len(student) != 1:
        yield (
            f"{place}.student: exactly one of teacher_layers, checkpoint and shape must be set "
            f"(found: {', '.join(student) or 'none'}; null unsets one)"
        )
    checkpoint = student.get("checkpoint")
    if checkpoint is not None:
        if checkpoint not in config["checkpoints"]:
            yield f"{place}.student.checkpoint: {_unknown(checkpoint, config['checkpoints'])}"
        else:
            entry = config["checkpoints"][checkpoint]
            for key in ("architecture", "tokenizer"):
                if entry[key] != model[key]:
                    yield f"{place}.{key}: `{model[key]}`, but checkpoints.{checkpoint}.{key} is `{entry[key]}`"
    teacher = model.get("teacher")
    if teacher is None:
        if "teacher_layers" in student:
            yield f"{place}.teacher: needed, since {place}.student.teacher_layers copies its layers"
        return
    entry = source_of(config, teacher)
    if entry is None:
        yield f"{place}.teacher: {_unknown(teacher, {**config['checkpoints'], **config['models']})}"
        return
    if entry["tokenizer"] != model["tokenizer"]:
        yield (
            f"{place}.teacher: `{teacher}` uses the tokenizer `{entry['tokenizer']}` and {name} uses "
            f"`{model['tokenizer']}`; teacher and student must share a vocabulary"
        )
    if "teacher_layers" in student and entry["architecture"] != model["architecture"]:
        yield (
            f"{place}.architecture: `{model['architecture']}`, but the teacher whose layers are copied is "
            f"a `{entry['architecture']}`"
        )


def _optimisation_faults(config: dict[str, Any], name: str, model: dict[str, Any]) -> Iterator[str]:
    """Yield faults of a trained model's optimisation, after merging it over the common one."""
    place = f"models.{name}.optimisation"
    optimisation = {**config["pretraining"]["optimisation"], **model.get("optimisation", {})}
    needed = ("steps", "warmup_steps", "peak_learning_rate", "weight_decay", "global_batch_size", "schedule")
    missing = [key for key in needed if key not in optimisation]
    if missing:
        yield f"{place}: missing {', '.join(missing)}"
    elif optimisation["warmup_steps"] >= optimisation["steps"]:
        yield (f"{place}.warmup_steps: {optimisation['warmup_steps']} is not below steps = {optimisation['steps']}")


def _teacher_cycles(config: dict[str, Any]) -> Iterator[str]:
    """Yield one fault for each cycle of models that teach each other."""
    seen: set[str] = set()
    for start in config["models"]:
        chain: list[str] = []
        name: str | None = start
        while name is not None and name in config["models"] and name not in seen and name not in chain:
            chain.append(name)
            model = config["models"][name]
            name = model.get("teacher") if model["source"] == "train" else None
        if name in chain:
            cycle = [*chain[chain.index(name) :], name]
            yield f"models.{name}.teacher: the teachers form a cycle ({' -> '.join(cycle)}); break it"
        seen.update(chain)


def _dataset_faults(config: dict[str, Any], source_names: set[str] | None) -> Iterator[str]:
    """Yield faults of `datasets`, `finetuning` and `data_urls`."""
    for name in config["data_urls"]:
        if source_names is not None and name not in source_names:
            yield f"data_urls.{name}: no row of config/data_sources.tsv has this name"
    for name, dataset in config["datasets"].items():
        place, task, layout = f"datasets.{name}", dataset["task"], dataset["layout"]
        if name == "sources":
            yield f"{place}: the name is taken by the folder of fetched data; choose another"
        if layout not in LAYOUTS[task]:
            yield f"{place}.layout: `{layout}` is not a layout of {task}: {', '.join(sorted(LAYOUTS[task]))}"
        missing = FILES[layout] - set(dataset.get("files") or {})
        if missing:
            yield f"{place}.files: missing {', '.join(sorted(missing))}, which the layout {layout} needs"
        if dataset["source"] is None and not dataset["folder"]:
            yield f"{place}.folder: needed since {place}.source is null: the folder of your files"
        if source_names is not None and dataset["source"] not in {None, *source_names}:
            yield f"{place}.source: {_unknown(dataset['source'], source_names)}"
        yield from _label_faults(place, dataset)
        if (layout in FOLDED_LAYOUTS) != ("folds" in dataset):
            yield (f"{place}.folds: " + ("needed by" if layout in FOLDED_LAYOUTS else "not known to") + f" {layout}")
        yield from _finetuning_faults(config, place, dataset)


def _label_faults(place: str, dataset: dict[str, Any]) -> Iterator[str]:
    """Yield faults of a dataset's labels."""
    labels = dataset.get("labels")
    if dataset["task"] == "qa":
        return
    if not labels:
        yield f"{place}.labels: needed; their order fixes the label ids"
        return
    if dataset["task"] == "re":
        positive = dataset.get("positive_labels")
        if not positive:
            yield f"{place}.positive_labels: needed; precision, recall and F1 are computed over them"
        unknown = sorted(set(positive or []) - set(labels))
        if unknown:
            yield f"{place}.positive_labels: {', '.join(unknown)} not in {place}.labels"
    elif dataset["task"] == "ner":
        wrong = [label for label in labels if label != "O" and label.split("-")[0] not in ("B", "I")]
        if wrong or "O" not in labels:
            yield f"{place}.labels: {', '.join(wrong) or 'O missing'}; NER labels are O, B, I or B-TYPE, I-TYPE"


def _finetuning_faults(config: dict[str, Any], place: str, dataset: dict[str, Any]) -> Iterator[str]:
    """Yield faults of a dataset's fine-tuning numbers, merged over its kind's."""
    common = config["finetuning"][dataset["task"]]
    own = dataset.get("finetuning", {})
    for key in sorted(set(own) - set(common)):
        yield f"{place}.finetuning: unknown key `{key}`; known: {', '.join(sorted(common))}"
    merged = {**common, **own}
    for key in own:
        if key in common and isinstance(own[key], str) != isinstance(common[key], str):
            yield f"{place}.finetuning.{key}: {own[key]!r} is of the wrong type; like {common[key]!r}"
    if isinstance(merged["max_length"], int) and merged["max_length"] > POSITIONS:
        yield f"{place}.finetuning.max_length: {merged['max_length']} exceeds {POSITIONS} positions"
    if "stride" in merged and merged["stride"] >= merged["max_length"]:
        yield f"{place}.finetuning.stride: {merged['stride']} is not below max_length = {merged['max_length']}"
