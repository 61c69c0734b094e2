"""Definitions of datasets that fit their kind of task and their layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compactbio.architectures import planned_architecture
from compactbio.kinds import KINDS
from compactbio.kinds.kind import Kind, Layout
from compactbio.settings.names import cycles, undefined
from compactbio.settings.runs import finetuning_options
from compactbio.settings.selection import STAGE, stage_before, student_parts
from compactbio.training.optimizer_settings import optimizer_faults


def dataset_faults(config: dict[str, Any], source_names: set[str] | None) -> Iterator[str]:
    """Yield faults of `datasets`, `finetuning` and `data_urls`, each naming its key and the fix."""
    for name in config["data_urls"]:
        if source_names is not None and name not in source_names:
            yield f"data_urls.{name}: no row of config/data_sources.tsv has this name"
    for name, dataset in config["datasets"].items():
        place, kind = f"datasets.{name}", KINDS[dataset["task"]]
        if name == "sources":
            yield f"{place}: the name is taken by the folder of fetched data; choose another"
        if dataset["source"] is None and not dataset["folder"]:
            yield f"{place}.folder: needed since {place}.source is null: the folder of your files"
        if source_names is not None:
            yield from undefined(f"{place}.source", dataset["source"], source_names)
        yield from data_faults(place, kind, dataset)
        if kind.labels is not None and kind.labels.positive:
            positive = dataset.get("positive_labels") or []
            if not positive:
                yield f"{place}.positive_labels: needed; precision, recall and F1 are computed over them"
            unlisted = sorted(set(positive) - set(dataset.get("labels") or ()))
            if unlisted:
                yield f"{place}.positive_labels: {', '.join(unlisted)} not in {place}.labels"
        yield from _finetuning_faults(config, place, dataset)
        yield from _stage_faults(config, name)
    for cycle in cycles({name: stage_before(config, name) for name in config["datasets"]}):
        yield f"datasets.{cycle[0]}.finetuning.{STAGE}: a cycle ({' -> '.join(cycle)}); break it"
    for task, options in config["finetuning"].items():
        if STAGE in options:
            yield f"finetuning.{task}.{STAGE}: belongs in a dataset's own `finetuning`"


def data_faults(place: str, kind: Kind, dataset: dict[str, Any]) -> Iterator[str]:
    """Yield faults of what a dataset's definition says of its data: layout, labels, files, folds, names of counts.

    Null unsets a split's counts and may stand anywhere.
    """
    if kind.labels is not None:
        labels = dataset.get("labels") or ()
        if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
            yield f"{place}.labels: a list of texts is needed, found {labels!r:.200}; quote them, like '0' and 'false'"
        elif len(labels) < 2:
            yield f"{place}.labels: needed, at least two; their order fixes the label ids"
        elif fault := kind.labels.fault(labels):
            yield f"{place}.labels: {fault}"
    layout = kind.layout(dataset.get("layout"))
    if layout is None:
        known = ", ".join(sorted(layout.name for layout in kind.layouts))
        yield f"{place}.layout: `{dataset.get('layout')}` is not a layout of {kind.name}: {known}"
        return
    missing = layout.files - set(dataset.get("files") or {})
    if missing:
        yield f"{place}.files: missing {', '.join(sorted(missing))}, which the layout {layout.name} needs"
    given = [key for key in ("files", "split_seed") if dataset.get(key) is not None]
    if layout.drawn and len(given) != 1:
        yield f"{place}: give either split_seed, by which documents are drawn, or files, their lists"
    if not layout.drawn and "split_seed" in given:
        yield f"{place}.split_seed: not known to the layout {layout.name}, whose splits are fixed"
    if layout.drawn and "files" in given and not {"train", "test"} <= set(dataset["files"]):
        yield f"{place}.files: train and test are needed"
    if unknown := sorted({*(dataset.get("columns") or {})} - {*layout.roles}):
        known = f"it knows {', '.join(layout.roles)}" if layout.roles else "its columns are fixed"
        yield f"{place}.columns: {', '.join(unknown)} not known to the layout {layout.name}; {known}"
    special = {option for one in KINDS.values() for other in one.layouts for option in other.options}
    for key in sorted(special - layout.options):
        if dataset.get(key) is not None:
            yield f"{place}.{key}: not known to the layout {layout.name}; leave it out"
    if fault := layout.fault(dataset):
        yield f"{place}.{fault}"
    if bool(layout.folds) != ("folds" in dataset):
        yield f"{place}.folds: {'needed by' if layout.folds else 'not known to'} {layout.name}"
    elif beyond := [fold for fold in dataset.get("folds", []) if fold not in layout.folds]:
        first, last = layout.folds[0], layout.folds[-1]
        yield f"{place}.folds: {', '.join(map(str, beyond))} not there; the layout {layout.name} has {first} to {last}"
    counted = known_counts(layout, dataset)
    for split, counts in (dataset.get("counts") or {}).items():
        if counts is not None and split not in counted:
            yield f"{place}.counts: unknown split `{split}`; known: {', '.join(sorted(counted))}"
            continue
        for name in counts or ():
            if name not in counted[split]:
                yield f"{place}.counts.{split}: unknown count `{name}`; known: {', '.join(sorted(counted[split]))}"


def known_counts(layout: Layout, dataset: dict[str, Any]) -> dict[str, set[str]]:
    """Return the names that `counts` may hold for a dataset: those of each split, and of the golden answers."""
    in_test = layout.counted_in_test
    counts = {split: {*layout.counted, *(in_test if split == "test" else ())} for split in _splits(layout, dataset)}
    return counts | ({"golden": set(layout.golden)} if layout.golden else {})


def _splits(layout: Layout, dataset: dict[str, Any]) -> set[str]:
    """Return the splits that a dataset's files hold."""
    named = {*(dataset.get("files") or {})} - {"golden"}
    return named if layout.drawn and named else set(layout.splits) or named


def _positions(config: dict[str, Any]) -> dict[str, int]:
    """Return about how long a sequence each model of the run takes at most; what it takes exactly, its files say."""
    longest = {}
    for name in (name for name in config["run"]["models"] if name in config["models"]):
        definition = config["models"][name]
        record = planned_architecture(definition["architecture"])
        key, stated = record.sizes.positions, definition.get("shape") or student_parts(definition).get("shape") or {}
        longest[name] = max(record.usual[key], record.positions({}), stated.get(key, 0))
    return longest


def _finetuning_faults(config: dict[str, Any], place: str, dataset: dict[str, Any]) -> Iterator[str]:
    """Yield faults of a dataset's fine-tuning numbers, merged over its kind's."""
    merged = finetuning_options(config, dataset)
    length, positions = merged["max_length"], _positions(config)
    short = sorted((longest, name) for name, longest in positions.items() if longest < length)
    if short:
        others = f" and {len(short) - 1} other models" if len(short) > 1 else ""
        yield f"{place}.finetuning.max_length: {length} exceeds the {short[0][0]} positions of `{short[0][1]}`{others}"
    if "stride" in merged and merged["stride"] >= merged["max_length"]:
        yield f"{place}.finetuning.stride: {merged['stride']} is not below max_length = {merged['max_length']}"
    yield from optimizer_faults(f"{place}.finetuning", merged)
    weights, labels = merged.get("class_weights"), dataset.get("labels") or []
    if isinstance(weights, list) and len(weights) != len(labels):
        yield f"{place}.finetuning.class_weights: {len(weights)} weights for {len(labels)} labels: give one for each"
    if "patience" in merged and "best_epoch_by" not in merged:
        yield f"{place}.finetuning.patience: needs best_epoch_by, the metric by which an epoch is better"
    layout = KINDS[dataset["task"]].layout(dataset["layout"])
    validated = dataset.get("validation_fraction") or (layout and "validation" in _splits(layout, dataset))
    for key in ("best_epoch_by", "grid"):
        if key in merged and not validated:
            yield f"{place}.finetuning.{key}: needs validation data; name files.validation or set validation_fraction"


def _stage_faults(config: dict[str, Any], name: str) -> Iterator[str]:
    """Yield faults of the dataset that a dataset's fine-tuning starts from: its head must fit this one's task."""
    stage, datasets, place = stage_before(config, name), config["datasets"], f"datasets.{name}.finetuning.{STAGE}"
    yield from undefined(place, stage, datasets)
    here = datasets[name]
    before = datasets.get(stage, here)  # what is not defined differs in nothing
    if here["task"] != before["task"]:
        yield f"{place}: `{stage}` is a dataset of {before['task']}, {name} one of {here['task']}; name one of the same"
    elif here.get("labels") != before.get("labels"):
        yield f"{place}: `{stage}` has other labels than {name}, whose fine-tuning goes on with its head"
