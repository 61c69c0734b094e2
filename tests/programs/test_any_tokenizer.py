"""From a published BERT with a byte-level tokenizer of over 65,536 tokens to one distilled and fine-tuned with it."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from helpers import finetuning as tasks
from helpers import pretraining as tiny
from helpers.published_berts import AWKWARD, TEXTS, publish_bert
from tokenizers import Tokenizer
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from compactbio.corpus.tokens import LARGEST_OF_16_BITS, TokenStore
from compactbio.errors import UserError
from compactbio.files import read_manifest
from compactbio.students.tokenizers import tokenizer_digest
from compactbio.training.progress import read_metrics

TERMS = [
    {"term": "mlm", "weight": 1.0},
    {"term": "logit_kl", "weight": 1.0, "temperature": 2.0},
    {"term": "hidden_cosine", "weight": 1.0, "layers": [[1, 2]]},
]


def program(monkeypatch, name, *arguments):
    """Run a program's main() here, with its variables set back afterwards."""
    for variable in ("RAYON_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(variable, "1" if variable.startswith("RAYON") else "false")
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
    try:
        importlib.import_module(name).main()
    except SystemExit as end:
        assert end.code in (None, 0)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "published"
    return folder, publish_bert(folder, "large", hidden_size=16, intermediate_size=16)


def test_a_student_learns_and_is_used_with_its_teachers_tokenizer(published, tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    source, model = published
    size, oracle = model.config.vocab_size, Tokenizer.from_file(str(source / "tokenizer.json"))
    definition = {"source": "path", "path": str(source), "architecture": "bert", "tokenizer": None}
    program(monkeypatch, "fetch_checkpoint", "--name", "big", "--definition", json.dumps(definition), "--output",
            "teacher", "--tokenizer-definition", "null", "--cache", "cache", "--lock", "lock.json")  # fmt: skip

    pq.write_table(pa.table({"text": TEXTS + AWKWARD}), "texts.parquet")
    program(monkeypatch, "tokenize_shard", "texts.parquet", "--tokenizer", "teacher", "--name", "big",
            "--definition", "null", "--max-length", 40, "--output", "tokens/0001")  # fmt: skip
    store = TokenStore([Path("tokens/0001")])
    oracle.enable_truncation(40)
    encoded = [oracle.encode(text).ids for text in TEXTS + AWKWARD]
    sequences = store.gather(np.arange(len(store)))
    assert [ids.tolist() for ids in sequences] == encoded
    assert sequences[0].dtype == np.uint32 and max(map(max, encoded)) > LARGEST_OF_16_BITS
    assert (store.vocabulary_size, store.unused_ids) == (size - 5, [])
    assert set(store.special_ids) == {"cls", "sep", "pad", "mask"}

    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    run = tiny.run_settings(
        TERMS,
        student={"shape": shape | {"max_position_embeddings": 64}},
        teacher="big",
        tokenizer="big",
        max_length=40,
        steps=12,
        peak_learning_rate=1e-2,
        masked_fraction=0.3,
    )
    Path("run.yaml").write_text(yaml.safe_dump(run))
    program(monkeypatch, "initialise_student", "--run", "run.yaml", "--tokenizer", "teacher", "--output", "student")
    program(monkeypatch, "pretrain_model", "--run", "run.yaml", "--student", "student", "--teacher", "teacher",
            "--tokens", "tokens/0001", "--checkpoints", "checkpoints", "--output", "training.json",
            "--provenance", "provenance.json", "--log-every-steps", 1)  # fmt: skip
    program(monkeypatch, "export_model", "--run", "run.yaml", "--training", "training.json", "--student", "student",
            "--output", "model", "--metrics", "metrics.jsonl")  # fmt: skip
    losses = [line["loss"] for line in read_metrics(Path("metrics.jsonl"))]
    assert len(losses) == 12 and losses[-1] < 0.9 * losses[0]

    digests = {tokenizer_digest(Path(name)) for name in ("teacher", "student", "model")}
    assert digests == {read_manifest(Path("tokens/0001"))["tokenizer_digest"]}
    teachers = json.loads(Path("teacher/tokenizer.json").read_text())
    assert json.loads(Path("model/tokenizer.json").read_text()) == teachers
    theirs, trained = AutoTokenizer.from_pretrained("model"), AutoModelForMaskedLM.from_pretrained("model")
    oracle.no_truncation()
    assert theirs(TEXTS)["input_ids"] == [oracle.encode(text).ids for text in TEXTS]
    assert (theirs.model_max_length, theirs.mask_token, theirs.unk_token) == (64, "<mask>", None)
    assert trained.get_output_embeddings().weight.shape[0] == size
    assert "| tokenizer | big |" in Path("model/README.md").read_text()
    assert len(pipeline("fill-mask", model="model")(f"A {theirs.mask_token} in it.")) == 5  # as the card uses it

    rows = {split: tasks.ner_rows(count, seed) for split, count, seed in (("train", 60, 1), ("test", 10, 2))}
    tasks.write_dataset(Path("task"), "ner", rows, tasks.NER_LABELS)
    settings = tasks.run_settings("ner", tasks.NER_LABELS, epochs=1)
    Path("finetuning.yaml").write_text(yaml.safe_dump(settings | {"keep_weights": True}))
    program(monkeypatch, "finetune_model", "--run", "finetuning.yaml", "--model", "model", "--task", "task",
            "--checkpoints", "runs", "--output-dir", "finetuned")  # fmt: skip
    assert pq.read_table("finetuned/predictions.parquet").num_rows == 10
    kept = json.loads(Path("finetuned/model/tokenizer.json").read_text())
    assert {**kept, "truncation": None, "padding": None} == teachers


def test_a_corpus_longer_than_the_tokenizer_says_is_refused(published, tmp_path, monkeypatch):
    source, _ = published
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "texts.parquet")
    options = ["--tokenizer", source, "--output", tmp_path / "store", "--max-length", 65]
    with pytest.raises(UserError, match=r"corpus.max_length is 65, but .*tokenizer_config.json, .* allows 64"):
        program(monkeypatch, "tokenize_shard", tmp_path / "texts.parquet", *options)
    assert not (tmp_path / "store").exists()
