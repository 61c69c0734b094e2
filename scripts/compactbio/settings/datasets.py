"""Definitions of datasets that fit their kind of task and their layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compactbio.settings.cycles import cycles
from compactbio.settings.messages import unknown
from compactbio.settings.runs import FOLDED_LAYOUTS, finetuning_options
from compactbio.settings.selection import STAGE, stage_before
from compactbio.settings.shapes import POSITIONS

LAYOUTS = {"ner": {"tagged_words"}, "re": {"gad", "sentences", "json_lines", "chemprot"}, "qa": {"bioasq", "squad"}}
FILES = {
    "tagged_words": {"train", "test"},
    "sentences": {"train", "test"},
    "json_lines": {"train", "test"},
    "bioasq": {"train", "test", "golden"},
    "squad": {"train", "test"},
    "gad": set(),
    "chemprot": set(),
}
FIXED_SPLITS = {"gad": {"train", "test"}, "chemprot": {"train", "validation", "test"}}  # of layouts without `files`
FOLDS = {"gad": range(1, 11)}

# What prepare_task counts in a split of each layout, and in the golden answers; labels are counted besides.
_QUESTION_COUNTS = {"rows", "questions", "answers", "rows_without_answer"}
SPLIT_COUNTS = {
    "tagged_words": {"sentences", "words", "entities", "i_after_o", "blank_lines_extra", "document_marks_skipped"},
    "gad": {"rows", "folds", "smallest_fold", "largest_fold"},
    "sentences": {"rows"},
    "json_lines": {"rows"},
    "chemprot": {
        *("abstracts", "sentences", "sentences_joined", "rows", "relations", "relations_repeated"),
        *("relations_of_another_class", "relations_across_sentences", "relations_not_evaluated"),
        *("false_with_relation_not_evaluated", "overlapping_pairs", "overlapping_pairs_related"),
    },
    "bioasq": _QUESTION_COUNTS,
    "squad": _QUESTION_COUNTS,
}
TEST_COUNTS = {"also_in_train"}
GOLDEN_COUNTS = {
    "bioasq": {
        *("questions", "factoid", "list", "summary", "yesno"),
        *("factoid_without_snippet", "answer_in_context"),
    },
    "squad": {"questions", "factoid", "answer_in_context"},
}


def dataset_faults(config: dict[str, Any], source_names: set[str] | None) -> Iterator[str]:
    """Yield faults of `datasets`, `finetuning` and `data_urls`, each naming its key and the fix."""
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
            yield f"{place}.source: {unknown(dataset['source'], source_names)}"
        yield from _label_faults(place, dataset)
        yield from _fold_faults(place, dataset)
        yield from _count_faults(place, dataset)
        yield from _finetuning_faults(config, place, dataset)
        yield from _stage_faults(config, name)
    for cycle in cycles({name: stage_before(config, name) for name in config["datasets"]}):
        yield f"datasets.{cycle[0]}.finetuning.{STAGE}: a cycle ({' -> '.join(cycle)}); break it"
    for task, options in config["finetuning"].items():
        if STAGE in options:
            yield f"finetuning.{task}.{STAGE}: belongs in a dataset's own `finetuning`"


def known_counts(dataset: dict[str, Any]) -> dict[str, set[str]]:
    """Return the names that `counts` may hold for a dataset: those of each split, and of the golden answers."""
    layout = dataset["layout"]
    splits = FIXED_SPLITS.get(layout) or {*(dataset.get("files") or {})} - {"golden"}
    counts = {split: SPLIT_COUNTS[layout] | (TEST_COUNTS if split == "test" else set()) for split in splits}
    return counts | ({"golden": GOLDEN_COUNTS[layout]} if layout in GOLDEN_COUNTS else {})


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
        strangers = sorted(set(positive or []) - set(labels))
        if strangers:
            yield f"{place}.positive_labels: {', '.join(strangers)} not in {place}.labels"
    elif dataset["task"] == "ner":
        wrong = [label for label in labels if label != "O" and label.split("-")[0] not in ("B", "I")]
        if wrong or "O" not in labels:
            yield f"{place}.labels: {', '.join(wrong) or 'O missing'}; NER labels are O, B, I or B-TYPE, I-TYPE"


def _fold_faults(place: str, dataset: dict[str, Any]) -> Iterator[str]:
    """Yield faults of a dataset's folds."""
    layout = dataset["layout"]
    if (layout in FOLDED_LAYOUTS) != ("folds" in dataset):
        yield f"{place}.folds: {'needed by' if layout in FOLDED_LAYOUTS else 'not known to'} {layout}"
        return
    beyond = [fold for fold in dataset.get("folds", []) if fold not in FOLDS[layout]]
    if beyond:
        first, last = FOLDS[layout][0], FOLDS[layout][-1]
        yield f"{place}.folds: {', '.join(map(str, beyond))} not there; the layout {layout} has {first} to {last}"


def _count_faults(place: str, dataset: dict[str, Any]) -> Iterator[str]:
    """Yield faults of the names in a dataset's counts; null unsets a split's counts and may stand anywhere."""
    known = known_counts(dataset)
    for split, counts in (dataset.get("counts") or {}).items():
        if counts is None:
            continue
        if split not in known:
            yield f"{place}.counts: unknown split `{split}`; known: {', '.join(sorted(known))}"
            continue
        for name in counts:
            if name not in known[split]:
                yield f"{place}.counts.{split}: unknown count `{name}`; known: {', '.join(sorted(known[split]))}"


def _finetuning_faults(config: dict[str, Any], place: str, dataset: dict[str, Any]) -> Iterator[str]:
    """Yield faults of a dataset's fine-tuning numbers, merged over its kind's."""
    merged = finetuning_options(config, dataset)
    if merged["max_length"] > POSITIONS:
        yield f"{place}.finetuning.max_length: {merged['max_length']} exceeds {POSITIONS} positions"
    if "stride" in merged and merged["stride"] >= merged["max_length"]:
        yield f"{place}.finetuning.stride: {merged['stride']} is not below max_length = {merged['max_length']}"
    weights, labels = merged.get("class_weights"), dataset.get("labels") or []
    if isinstance(weights, list) and len(weights) != len(labels):
        yield f"{place}.finetuning.class_weights: {len(weights)} weights for {len(labels)} labels: give one for each"
    if "patience" in merged and "best_epoch_by" not in merged:
        yield f"{place}.finetuning.patience: needs best_epoch_by, the metric by which an epoch is better"
    for key in ("best_epoch_by", "grid"):
        if key in merged and not _has_validation(dataset):
            yield f"{place}.finetuning.{key}: needs validation data; name files.validation or set validation_fraction"


def _stage_faults(config: dict[str, Any], name: str) -> Iterator[str]:
    """Yield faults of the dataset that a dataset's fine-tuning starts from: its head must fit this one's task."""
    stage = stage_before(config, name)
    if stage is None:
        return
    place = f"datasets.{name}.finetuning.{STAGE}"
    if stage not in config["datasets"]:
        yield f"{place}: {unknown(stage, config['datasets'])}"
        return
    here, before = config["datasets"][name], config["datasets"][stage]
    if here["task"] != before["task"]:
        yield f"{place}: `{stage}` is a dataset of {before['task']}, {name} one of {here['task']}; name one of the same"
    elif here.get("labels") != before.get("labels"):
        yield f"{place}: `{stage}` has other labels than {name}, whose fine-tuning goes on with its head"


def _has_validation(dataset: dict[str, Any]) -> bool:
    """Return whether a dataset has a validation part, of its own or cut from train."""
    splits = FIXED_SPLITS.get(dataset["layout"]) or (dataset.get("files") or {})
    return "validation" in splits or bool(dataset.get("validation_fraction"))
