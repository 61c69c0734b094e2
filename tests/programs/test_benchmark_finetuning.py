"""The benchmark of fine-tuning: equal features on both sides, rows that can be read. Times are not asserted."""

from __future__ import annotations

import csv
import json
import sys

import benchmark_finetuning
import numpy as np
import pytest
from helpers.finetuning import NER_LABELS, ner_rows, qa_rows, re_rows, write_dataset, write_model
from tokenizers import Tokenizer
from tokenizers.processors import BertProcessing

from compactbio.benchmarks.whole_finetunings import COLUMNS
from compactbio.errors import UserError
from compactbio.files import write_manifest
from compactbio.finetuning.features import PieceTokenizer
from compactbio.finetuning.kinds import re
from compactbio.finetuning.kinds.context_windows import context_windows
from compactbio.finetuning.kinds.word_windows import word_windows
from compactbio.tasks.rows import Rows

OPTIONS = {
    **{"learning_rate": 1.0e-3, "batch_size": 4, "epochs": 1, "schedule": "cosine", "weight_decay": 0.01},
    **{"max_gradient_norm": 1.0, "max_length": 24, "stride": 4},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder whose tokenizer adds [CLS] and [SEP] by itself, as the plain script expects."""
    folder = write_model(tmp_path_factory.mktemp("model") / "tiny")
    path = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(path)
    tokens = {name: f"[{name[:3].upper()}]" for name in ("cls_token", "sep_token", "pad_token", "unk_token")}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, **tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def plain_features(model, task, rows, place):
    from compactbio.benchmarks.plain_trainer import trainer_of
    from compactbio.finetuning.model.task_model import load_task_model

    head = load_task_model(model, task, NER_LABELS, 1)
    return trainer_of(head, model, rows, OPTIONS, 1, place).train_dataset


def test_both_sides_see_the_same_words(model, tmp_path):
    rows = ner_rows(30, 1)
    plain = plain_features(model, "ner", rows, tmp_path)
    ours = word_windows(rows["words"], rows["labels"], PieceTokenizer(model), 24, "all").features
    assert [row["input_ids"] for row in plain] == [feature.ids.tolist() for feature in ours]
    assert [row["labels"] for row in plain] == [feature.targets["labels"].tolist() for feature in ours]


def test_both_sides_see_the_same_sentences(model, tmp_path):
    rows = re_rows(30, 1)
    plain = plain_features(model, "re", rows, tmp_path)
    made = re.KIND.make_features(Rows(rows, None), rows["label"], PieceTokenizer(model), OPTIONS, has_answers=True)
    ours = made.features
    assert [row["input_ids"] for row in plain] == [feature.ids.tolist() for feature in ours]
    assert [row["labels"] for row in plain] == [int(feature.targets["labels"]) for feature in ours]


def test_both_sides_see_the_same_windows_of_contexts(model, tmp_path):
    rows = qa_rows(30, 1)
    for number, context in enumerate(rows["context"]):  # some contexts of several windows
        rows["context"][number] = context + " the cell" * (number % 12)
    plain = plain_features(model, "qa", rows, tmp_path)
    made = context_windows(rows["question"], rows["context"], rows["answers"], PieceTokenizer(model), 24, 4)
    assert len(plain) == len(made.features) > 35
    for row, feature in zip(plain, made.features, strict=True):
        assert len(row["input_ids"]) == 24  # padded to the maximal length
        assert row["input_ids"][: len(feature.ids)] == feature.ids.tolist()
        assert sum(row["attention_mask"]) == len(feature.ids)
        found = (row["start_positions"], row["end_positions"])
        assert found == (int(feature.targets["start"]), int(feature.targets["end"]))


def call(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark_finetuning.py", *map(str, arguments)])
    benchmark_finetuning.main()


@pytest.mark.slow
def test_a_dataset_is_measured_on_both_sides(model, tmp_path, monkeypatch, capsys):
    task = write_dataset(tmp_path / "ner", "ner", {"train": ner_rows(200, 1), "test": ner_rows(30, 2)}, NER_LABELS)
    write_manifest(task, dataset="toy", task="ner", labels=NER_LABELS, counts={"test": {}})
    options = ["--seeds", 1, 2, "--epochs", 6, "--learning-rate", 3.0e-3, "--threads", 1, "--output-dir", tmp_path]
    call(monkeypatch, "--model", model, "--tasks", task, *options)
    with (tmp_path / "finetuning.tsv").open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream, delimiter="\t")
    assert tuple(row) == COLUMNS
    assert (row["dataset"], row["epochs"], row["seeds"], row["metric"]) == ("toy", "6", "2", "f1")
    scores = np.array([row["reference_score"], row["ours_score"]], float)
    assert scores.min() > 40  # both have learnt something
    assert float(row["cpu_ratio"]) == pytest.approx(
        float(row["reference_cpu_seconds"]) / float(row["ours_cpu_seconds"]), rel=0.05
    )
    assert "toy" in capsys.readouterr().out


def test_folders_that_are_none_are_refused(monkeypatch, model, tmp_path):
    with pytest.raises(UserError, match=r"--tasks: .* has no manifest\.json"):
        call(monkeypatch, "--model", model, "--tasks", tmp_path)
    with pytest.raises(UserError, match=r"--model: .* has no config\.json"):
        call(monkeypatch, "--model", tmp_path, "--tasks", tmp_path)
