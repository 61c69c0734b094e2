"""Which definitions of a configuration take part in its run: models, checkpoints, datasets, shards of the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compactbio.errors import UserError

STAGE = "starts_from"  # in a dataset's `finetuning`: no hyper-parameter, but another dataset


# ---- models and checkpoints


def source_of(config: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return the definition of a checkpoint or model, or None where the name is neither's."""
    return config["checkpoints"].get(name) or config["models"].get(name)


def definition_of(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the definition of a checkpoint or model that the configuration has."""
    return config["checkpoints"].get(name) or config["models"][name]


def is_trained(config: dict[str, Any], name: str) -> bool:
    """Return whether a checkpoint or model is trained here; all others are fetched."""
    return name in config["models"] and config["models"][name]["source"] == "train"


def student_parts(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is set of teacher_layers, checkpoint and shape, of which a student is made from one."""
    return {key: value for key, value in (model.get("student") or {}).items() if value is not None}


def student_kind(model: Mapping[str, Any]) -> tuple[str, Any]:
    """Return which of teacher_layers, checkpoint and shape a model's student is made from, and its value.

    Raises:
        UserError: none or several are set, as only a run file written by hand can have it.
    """
    parts = student_parts(model)
    if len(parts) != 1:
        found = ", ".join(parts) or "none"
        raise UserError(f"student: exactly one of teacher_layers, checkpoint and shape must be set (found: {found})")
    return next(iter(parts.items()))


def tokenizer_giver(model: Mapping[str, Any]) -> str | None:
    """Return the checkpoint or model whose tokenizer a trained model takes that names none.

    It is that which it starts from, else its teacher; None where it has neither.
    """
    giver: str | None = student_parts(model).get("checkpoint") or model.get("teacher")
    return giver


def tokenizer_name(config: dict[str, Any], name: str) -> str:
    """Return what a model's or checkpoint's tokenizer, and so its token stores, are called.

    One of `tokenizers`, or where it names none the checkpoint or fetched model whose own, as published, it is.
    """
    named: str | None = definition_of(config, name)["tokenizer"]
    giver = tokenizer_giver(config["models"][name]) if named is None and is_trained(config, name) else None
    return tokenizer_name(config, giver) if giver is not None else named or name


def tokenizer_checkpoint(config: dict[str, Any], tokenizer: str) -> str:
    """Return the checkpoint or fetched model whose files a tokenizer of this name is read from."""
    checkpoint: str = config["tokenizers"].get(tokenizer, {}).get("checkpoint", tokenizer)
    return checkpoint


def trained_models(config: dict[str, Any]) -> list[str]:
    """Return the models that the run trains, their teachers included, in the order of their definition."""
    wanted: set[str] = set()
    waiting: list[str | None] = list(config["run"]["models"])
    while waiting:
        name = waiting.pop()
        if name is not None and name not in wanted and is_trained(config, name):
            wanted.add(name)
            waiting.append(config["models"][name].get("teacher"))
    return [name for name in config["models"] if name in wanted]


def fetched_names(config: dict[str, Any]) -> list[str]:
    """Return the checkpoints and models that the run downloads, sorted."""
    names = {name for name in config["run"]["models"] if not is_trained(config, name)}
    for model_name in trained_models(config):
        model = config["models"][model_name]
        names.add(tokenizer_checkpoint(config, tokenizer_name(config, model_name)))
        kind, value = student_kind(model)
        if kind == "checkpoint":
            names.add(value)
        teacher = model.get("teacher")
        if teacher is not None and not is_trained(config, teacher):
            names.add(teacher)
    return sorted(names)


def described_models(config: dict[str, Any]) -> list[str]:
    """Return the models that a card is written of, sorted: those of the run, and the teachers trained for them."""
    return sorted({*config["run"]["models"], *trained_models(config)})


def names_in_use(config: dict[str, Any]) -> list[str]:
    """Return the models, checkpoints, datasets and tokenizers that take part in the run, sorted."""
    sources = {*config["run"]["models"], *trained_models(config), *fetched_names(config)}
    tokenizers = {definition_of(config, name)["tokenizer"] for name in sources} - {None}
    return sorted({*sources, *tokenizers, *finetuned_datasets(config)})


def origin_groups(config: dict[str, Any]) -> dict[str, str]:
    """Return how each model of the run came to be: distilled, continual or given."""
    groups = {}
    for name in config["run"]["models"]:
        taught = config["models"][name].get("teacher") is not None
        groups[name] = ("distilled" if taught else "continual") if is_trained(config, name) else "given"
    return groups


def fetch_definition(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what fetching a checkpoint or model depends on: where from, and what must arrive."""
    definition = definition_of(config, name)
    where = "hub" if definition["source"] == "hub" else "path"
    keys = ("source", where, "architecture", "tokenizer", "shape")
    return {key: definition[key] for key in keys if definition.get(key) is not None}


def row_of_model(config: dict[str, Any], name: str) -> str | None:
    """Return the name that a fetched checkpoint or model has in config/data_sources.tsv, if it has a row; else None.

    That is its repository's on the hub, unless `described_by` names another; a folder has what that says alone.
    """
    definition = definition_of(config, name)
    stated: str | None = definition.get("described_by")
    return stated or (definition["hub"]["repository"] if definition["source"] == "hub" else None)


# ---- corpus

BASELINE = "pubmed_baseline"


def row_of_corpus(config: dict[str, Any]) -> str | None:
    """Return the row of config/data_sources.tsv that describes the corpus; None: documents that nothing is said of."""
    corpus = config["corpus"]
    stated: str | None = corpus.get("described_by")
    return stated or (BASELINE if corpus["source"] == "baseline" else None)


def baseline_numbers(config: dict[str, Any]) -> list[int]:
    """Return the numbers of the baseline files that are used."""
    baseline = config["corpus"]["baseline"]
    return baseline["numbers"] or list(range(1, baseline["files"] + 1))


def corpus_shards(config: dict[str, Any]) -> list[str]:
    """Return the names of the corpus's shards, "0001" and so on: each is a document or some baseline files."""
    corpus = config["corpus"]
    if corpus["source"] == "baseline":
        count = -(-len(baseline_numbers(config)) // corpus["files_per_job"])
    else:
        count = len(corpus["documents"])
    return shard_names(count)


def shard_names(count: int) -> list[str]:
    """Return the names of so many shards, by which programs find them: a list of all would not fit a command line."""
    return [f"{number:04d}" for number in range(1, count + 1)]


def shard_numbers(config: dict[str, Any], shard: str) -> list[int]:
    """Return the numbers of the baseline files of a shard."""
    size = config["corpus"]["files_per_job"]
    first = (int(shard) - 1) * size
    return baseline_numbers(config)[first : first + size]


def corpus_tokenizers(config: dict[str, Any]) -> list[str]:
    """Return the tokenizers whose token stores the trained models read, sorted."""
    return sorted({tokenizer_name(config, name) for name in trained_models(config)})


# ---- datasets


def row_of_dataset(config: dict[str, Any], name: str) -> str | None:
    """Return the row of config/data_sources.tsv that describes a dataset; None: own files that nothing is said of."""
    definition = config["datasets"][name]
    row: str | None = definition.get("described_by") or definition["source"]
    return row


def stage_before(config: dict[str, Any], dataset: str) -> str | None:
    """Return the dataset from whose fine-tuned model this one's fine-tuning starts; None: from the model as it is.

    None also for a name without a definition, which the checks refuse elsewhere.
    """
    return config["datasets"].get(dataset, {}).get("finetuning", {}).get(STAGE)


def finetuned_datasets(config: dict[str, Any]) -> list[str]:
    """Return the datasets that each model is fine-tuned on: those of the run, then those that they start from."""
    datasets = list(config["run"]["datasets"])
    for dataset in datasets:  # grows while it is walked: a stage may have one before it
        stage = stage_before(config, dataset)
        if stage is not None and stage not in datasets:
            datasets.append(stage)
    return datasets


def task_sources(config: dict[str, Any]) -> list[str]:
    """Return the rows of config/data_sources.tsv that the datasets of the run are read from, sorted."""
    sources = {config["datasets"][dataset]["source"] for dataset in finetuned_datasets(config)}
    return sorted(source for source in sources if source is not None)


def kept_weights(config: dict[str, Any]) -> set[str]:
    """Return the datasets whose first run's weights are kept.

    Those asked for, those that others start from, and the one whose models are measured for deployment.
    """
    stages = {stage_before(config, dataset) for dataset in finetuned_datasets(config)}
    return {*config["run"]["keep_weights"], *stages, deployment_dataset(config)} - {None}


def deployment_dataset(config: dict[str, Any]) -> str | None:
    """Return the dataset whose models are measured for deployment; None where no dataset of the run is."""
    name = config["reporting"]["deployment_dataset"]
    return name if name in config["run"]["datasets"] else None
