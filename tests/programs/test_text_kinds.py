"""Kinds of task that read whole texts, from a user's own files to scores, which scikit-learn computes again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from helpers.finetuning import WORDS
from helpers.text_kinds import finetuned, write_lines, write_word_piece_model
from sklearn import metrics

from compactbio.finetuning.features import PieceTokenizer, collate
from compactbio.finetuning.kinds import task_kind
from compactbio.finetuning.model.task_model import load_task_model
from compactbio.finetuning.model.task_step import TaskStep
from compactbio.finetuning.packed.batching import to_tensors
from compactbio.scoring.finetuned import open_finetuned
from compactbio.tasks.prepare import prepare_dataset
from compactbio.tasks.rows import Rows

FILES = {"train": "train.jsonl", "test": "test.jsonl"}
PAIRS = {
    "task": "classification",
    "layout": "json_lines",
    "folder": "pairs",
    "files": FILES,
    "columns": {"text": "question", "pair": "context", "label": "answer", "document": "pmid"},
    "labels": ["yes", "no", "maybe"],
}
SETS = {
    "task": "multilabel",
    "layout": "table",
    "folder": "sets",
    "files": {"train": "train.tsv", "test": "test.tsv"},
    "columns": {"text": "sentence", "labels": "topics", "document": "pmid"},
    "labels": ["a", "b", "c"],
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_word_piece_model(tmp_path_factory.mktemp("models") / "bert")


def pairs(count: int, seed: int) -> list[dict[str, Any]]:
    """Return questions whose answer is what their context says: yes where it binds, maybe where it is silent."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        word = draw.choice(["binds", "blocks", "of"])
        answer = {"binds": "yes", "blocks": "no", "of": "maybe"}[word]
        context = f"{'the ' * draw.randint(0, 5)}{word} {draw.choice(WORDS[:4])}"
        rows.append({"question": "who is ?", "context": context, "answer": answer, "pmid": seed * 1000 + number // 2})
    return rows


def test_pairs_are_learnt_scored_and_classified_alike_by_a_plain_pipeline(model, tmp_path):
    test = pairs(60, 2)
    test[0]["pmid"] = 1003  # a document of train
    write_lines(tmp_path / "pairs" / "train.jsonl", pairs(400, 1))
    write_lines(tmp_path / "pairs" / "test.jsonl", test)
    folder, scored = finetuned(PAIRS, tmp_path, model, validation_fraction=0.1, best_epoch_by="macro_f1", epochs=5)
    rows = open_finetuned("tiny", folder, tmp_path / "task").predictions.read_run("seed1").to_pylist()
    gold, predicted = [row["answer"] for row in test], [row["predicted"] for row in rows]
    assert [row["gold"] for row in rows] == gold
    found = {score.metric: score.value for score in scored.scores}
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(gold, predicted))
    assert found["accuracy"] > 0.5
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(gold, predicted, average="macro"))
    by_class = metrics.classification_report(gold, predicted, output_dict=True)
    for one in scored.classes:
        assert one.value == pytest.approx(by_class[one.label]["f1-score" if one.metric == "f1" else one.metric])
    texts = [(row["question"], row["context"]) for row in pairs(400, 1)]
    known = [(row["question"], row["context"]) in texts or row["pmid"] == 1003 for row in test]
    assert found["seen_in_train"] == sum(known)
    # a document is drawn as one
    (units,) = [one.units for one in scored.units]
    assert units.examples == list(dict.fromkeys(str(row["pmid"]) for row in test))
    assert units.counts.sum(axis=0).tolist() == [round(found["accuracy"] * 60), 60]
    classify = transformers.pipeline("text-classification", model=str(folder / "model"), top_k=None)
    for row, here in zip(test[:8], rows, strict=False):
        shares = {
            one["label"]: one["score"] for one in classify([{"text": row["question"], "text_pair": row["context"]}])[0]
        }
        assert [shares[label] for label in PAIRS["labels"]] == pytest.approx(here["probabilities"], abs=1e-5)


def test_validation_parts_no_document(tmp_path):
    write_lines(tmp_path / "pairs" / "train.jsonl", pairs(40, 1))
    write_lines(tmp_path / "pairs" / "test.jsonl", pairs(4, 2))
    manifest = prepare_dataset("toy", PAIRS, tmp_path, tmp_path / "task")
    assert manifest["counts"]["train"] | {"labels": None} == {"rows": 40, "labels": None, "documents": 20}
    from compactbio.kinds import kind_of
    from compactbio.tasks.rows import cut_validation, read_rows

    kind = kind_of("classification")
    train = read_rows(tmp_path / "task" / "data", "train", kind)
    assert train is not None
    kept, cut = cut_validation(train, 0.1, 1, 0, kind.kept_together)
    assert len(cut) == 4 and not {*kept["document"]} & {*cut["document"]}


def test_pairs_are_shortened_as_transformers_does(model):
    theirs = transformers.AutoTokenizer.from_pretrained(model)
    ours, draw = PieceTokenizer(model), random.Random(3)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 30))) for _ in range(121)]
    for room in (8, 17, 32):
        rows = Rows({"text": texts[1:], "pair": [*texts[:-2], ""]}, None)
        made = task_kind("classification").make_features(rows, [0] * 120, ours, {"max_length": room}, has_answers=True)
        for text, pair, feature in zip(texts[1:], rows["pair"], made.features, strict=True):
            expected = theirs(text, pair or None, truncation="longest_first", max_length=room)
            assert feature.ids.tolist() == expected["input_ids"]
            types = (np.arange(len(feature.ids)) >= feature.first_segment).astype(int)
            assert types.tolist() == expected["token_type_ids"]


def sentences(path: Path, count: int, seed: int) -> list[tuple[str, set[str]]]:
    """Write sentences that have label a, b or c for each of three words in them; four a document."""
    draw, rows = random.Random(seed), []
    for _ in range(count):
        words = {word for word in ("binds", "blocks", "gene") if draw.random() < 0.3}
        text = " ".join([*sorted(words), *draw.choices(WORDS[:4], k=draw.randint(1, 5))])
        rows.append((text, {{"binds": "a", "blocks": "b", "gene": "c"}[word] for word in words}))
    lines = [f"{seed}-{n // 4}\t{text}\t{'; '.join(sorted(names))}" for n, (text, names) in enumerate(rows)]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["pmid\tsentence\ttopics", *lines]) + "\n")
    return rows


def test_sets_of_labels_are_learnt_and_scored_by_document(model, tmp_path):
    sentences(tmp_path / "sets" / "train.tsv", 400, 1)
    test = sentences(tmp_path / "sets" / "test.tsv", 60, 2)
    folder, scored = finetuned(SETS, tmp_path, model, validation_fraction=0.1, best_epoch_by="f1", epochs=6)
    rows = open_finetuned("tiny", folder, tmp_path / "task").predictions.read_run("seed1").to_pylist()
    assert [set(row["gold"]) for row in rows] == [names for _, names in test]
    names = SETS["labels"]

    def matrix(sets: list[set[str]]) -> np.ndarray:
        return np.array([[name in one for name in names] for one in sets]).astype(int)

    gold, predicted = matrix([one for _, one in test]), matrix([set(row["predicted"]) for row in rows])
    found = {score.metric: score.value for score in scored.scores}
    documents = gold.reshape(15, 4, 3).max(1), predicted.reshape(15, 4, 3).max(1)
    for prefix, pair in (("", documents), ("sentence_", (gold, predicted))):
        for average, before in (("micro", ""), ("macro", "macro_")):
            expected = metrics.precision_recall_fscore_support(*pair, average=average, zero_division=0)
            for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
                if average == "micro" or name == "f1":
                    assert found[f"{prefix}{before}{name}"] == pytest.approx(value), (prefix, average, name)
    assert found["sentence_f1"] > 0.5 and found["seen_in_train"] == 0
    by_class = metrics.classification_report(*documents, target_names=names, output_dict=True, zero_division=0)
    for one in scored.classes:
        assert one.value == pytest.approx(by_class[one.label]["f1-score" if one.metric == "f1" else one.metric])
    (units,) = [one.units for one in scored.units]
    right, positive, true = units.counts.sum(axis=0)
    assert len(units.examples) == 15 and 2 * right / (positive + true) == pytest.approx(found["f1"])
    classify = transformers.pipeline("text-classification", model=str(folder / "model"), top_k=None)
    stored = pq.read_table(folder / "predictions.parquet", columns=["probabilities"]).to_pylist()
    for (text, _), row in zip(test[:6], stored, strict=False):
        shares = {one["label"]: one["score"] for one in classify([text])[0]}
        assert [shares[name] for name in names] == pytest.approx(row["probabilities"], abs=1e-5)


def test_the_loss_of_sets_is_transformers_own(model):
    step = TaskStep(load_task_model(model, "multilabel", ["a", "b", "c"], seed=5), "multilabel").eval()
    kind, tokenizer = task_kind("multilabel"), PieceTokenizer(model)
    rows, gold = Rows({"text": ["the gene binds", "cell", "of the of"]}, None), [[0, 2], [], [1]]
    features = kind.make_features(rows, gold, tokenizer, {"max_length": 16}, has_answers=True).features
    arrays = collate(features, tokenizer.pad, token_types=True)
    tensors = to_tensors(arrays)
    targets = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0]])
    inputs = {name: tensors[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    expected = step.model(**inputs, labels=targets).loss
    found = step(tensors, {"examples": kind.counted(arrays, None)})
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
