"""Word pieces, labels, windows and scores of NER and question answering: the authors' functions beside ours."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from transformers import PreTrainedTokenizerFast

from compactbio.benchmarks.authors_code import definition
from compactbio.benchmarks.authors_objectives import Difference
from compactbio.finetuning.features import IGNORED, PieceTokenizer
from compactbio.finetuning.kinds.context_windows import context_windows
from compactbio.finetuning.kinds.word_windows import word_windows
from compactbio.kinds.ner import KIND
from compactbio.scoring.entities import labels_of_lists, score_entities
from compactbio.students.tokenizers import load_tokenizer
from compactbio.tasks import squad, tagged_words
from compactbio.tasks.prepared import Definition, parse_definition

LABELS = ("O", "B", "I")
NER_LENGTH, QA_LENGTH, QA_STRIDE = 512, 384, 128  # of their calls


class _TokenizerOf2022:
    """A fast tokenizer with the method that transformers has dropped since."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer

    def batch_encode_plus(self, texts: list[list[str]], **options: Any) -> Any:
        return self.tokenizer(texts, truncation=True, **options)  # max_length alone meant truncation


class _Seqeval:
    """The metric `seqeval` that `datasets` has dropped since, by the package of that name, whose result it gave."""

    def compute(self, predictions: list[list[str]], references: list[list[str]]) -> dict[str, float]:
        from seqeval import metrics

        named = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}
        found = {f"overall_{name}": score(references, predictions) for name, score in named.items()}
        return found | {"overall_accuracy": metrics.accuracy_score(references, predictions)}


def compare_entities(authors: Path, folder: Path, model: Path, seed: int = 0) -> Iterator[Difference]:
    """Yield how pieces, labels and the score of random predictions differ on the test data of an NER set.

    Args:
        authors: the clone.
        folder: in BioBERT's layout: train.tsv, train_dev.tsv, test.tsv.
        model: a folder with a tokenizer.
        seed: of the predictions.
    """
    from datasets import Dataset

    names = {"pd": pandas, "csv": csv, "np": np, "Dataset": Dataset, "load_metric": lambda _: _Seqeval()}
    load = definition(authors, "ner.py", "load_and_preprocess_dataset", names)
    *_, test, compute_metrics, label_names = load(f"{folder}/", _TokenizerOf2022(load_tokenizer(model)))
    theirs = [
        (ids, [label_names[label] if label != IGNORED else None for label in labels])
        for ids, labels in zip(test["input_ids"], test["labels"], strict=True)
    ]
    columns, _ = tagged_words.read_split(folder / "test.tsv", _definition(folder))
    windows = word_windows(columns["words"], columns["labels"], PieceTokenizer(model), NER_LENGTH, "all")
    ours = [
        (
            feature.ids.tolist(),
            [LABELS[label] if label != IGNORED else None for label in feature.targets["labels"].tolist()],
        )
        for feature in windows.features
    ]
    unequal = abs(len(theirs) - len(ours)) + sum(a != b for a, b in zip(theirs, ours, strict=False))
    subject = f"NER, {folder.name}"
    yield Difference(subject, "pieces and labels", f"{len(theirs)} sentences", f"{len(ours)} sentences", f"{unequal}")

    width = max(len(ids) for ids, _ in theirs)
    drawn = np.random.default_rng(seed).random((len(theirs), width, len(LABELS)))
    logits = drawn[:, :, [LABELS.index(name) for name in label_names]]  # their order of labels is that of a set
    gold = np.full((len(theirs), width), IGNORED)
    for row, labels in enumerate(test["labels"]):
        gold[row, : len(labels)] = labels
    their_f1 = compute_metrics((logits, gold))["overall_f1"]
    true = [[label for label in labels if label is not None] for _, labels in ours]
    found = [
        [label_names[int(logits[row, place].argmax())] for place, label in enumerate(labels) if label is not None]
        for row, (_, labels) in enumerate(ours)
    ]
    our_f1 = score_entities(labels_of_lists(true), labels_of_lists(found))["f1"]
    yield Difference(
        subject, "F1 of random labels", f"{their_f1:.6f}", f"{our_f1:.6f}", f"{abs(their_f1 - our_f1):.1e}"
    )


def _definition(folder: Path) -> Definition:
    """Return the definition of an NER set in BioBERT's layout."""
    value = {"task": KIND.name, "layout": "tagged_words", "source": None, "folder": "", "labels": list(LABELS)}
    return parse_definition(folder.name, value | {"files": {"train": "train.tsv", "test": "test.tsv"}}, folder)


def compare_questions(authors: Path, file: Path, model: Path) -> Iterator[Difference]:
    """Yield how many windows of a training file in SQuAD's form have other pieces or another answer.

    Args:
        authors: the clone.
        file: such as BioASQ-train-factoid-7b.json.
        model: a folder with a tokenizer.
    """
    from datasets import Dataset

    load = definition(authors, "qa.py", "load_and_preprocess_train_dataset", {"json": json, "Dataset": Dataset})
    tokenizer = load_tokenizer(model)
    _, made = load(str(file), tokenizer, max_length=QA_LENGTH, stride=QA_STRIDE)
    theirs = [
        (ids[: sum(mask)], start, end)
        for ids, mask, start, end in zip(
            *(made[name] for name in ("input_ids", "attention_mask", "start_positions", "end_positions")), strict=True
        )
    ]
    columns, _ = squad.read_split(file, snippets=True, keep_unanswered=False)
    windows = context_windows(
        columns["question"], columns["context"], columns["answers"], PieceTokenizer(model), QA_LENGTH, QA_STRIDE
    )
    ours = [
        (feature.ids.tolist(), int(feature.targets["start"]), int(feature.targets["end"]))
        for feature in windows.features
    ]
    unequal = abs(len(theirs) - len(ours)) + sum(a != b for a, b in zip(theirs, ours, strict=False))
    yield Difference(
        f"QA, {file.stem}", "windows and answers", f"{len(theirs)} windows", f"{len(ours)} windows", f"{unequal}"
    )
