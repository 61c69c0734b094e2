"""finetune_model as a program: exit codes, messages, and the files that it leaves."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from helpers.finetuning import NER_LABELS, ner_rows, run_settings, write_dataset, write_model

PROGRAM = Path(__file__).parents[2] / "scripts" / "finetune_model.py"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "bert", masked_lm=True)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks") / "ner"
    write_dataset(folder, "ner", {"train": ner_rows(64, 1), "test": ner_rows(8, 2)}, NER_LABELS)
    return folder


def start(arguments: list, **options):
    command = [sys.executable, "-X", "importtime", str(PROGRAM), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, **options)


def imported(ended) -> set[str]:
    """Return the modules that a program imported."""
    return {line.rsplit("|", 1)[1].strip() for line in ended.stderr.splitlines() if "import time:" in line}


def test_it_leaves_before_its_deadline_and_goes_on(model, task, tmp_path):
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump(run_settings("ner", NER_LABELS, epochs=1), sort_keys=False))
    arguments = ["--run", run_file, "--model", model, "--task", task]
    arguments += ["--checkpoints", tmp_path / "checkpoints", "--output-dir", tmp_path / "output"]
    short = [*arguments, "--max-minutes", "0.0001"]
    for _ in range(2):  # the first may have been slow to start
        late = start(short)
        assert late.returncode == 1, late.stderr
        assert "deadline" in late.stderr and "Traceback" not in late.stderr
    stalled = start(short)
    assert stalled.returncode == 1 and "stalled" in stalled.stderr and "device" not in stalled.stderr
    done = start([*arguments, "--max-minutes", "10"])
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "output").iterdir()}
    assert written == {"predictions.parquet", "metrics.jsonl", "training.json", "provenance.json"}
    provenance = json.loads((tmp_path / "output" / "provenance.json").read_text())
    assert provenance["seeds"] == [1] and set(provenance["inputs"]) == {"model", "dataset"}
    predictions = (tmp_path / "output" / "predictions.parquet").read_bytes()
    assert provenance["outputs"]["predictions.parquet"] == hashlib.sha256(predictions).hexdigest()
    [run] = provenance["runs"].values()  # as it was trained: a later start only publishes
    assert run["tries"] == 3 and run["seconds"] == provenance["seconds"] and run["packages"]["torch"]
    published = start(arguments)
    assert published.returncode == 0
    for ended in (stalled, published):  # what nothing is trained for starts quickly
        assert not imported(ended) & {"torch", "transformers", "datasets", "pandas"}
    again = json.loads((tmp_path / "output" / "provenance.json").read_text())
    assert (again["runs"], again["outputs"]) == (provenance["runs"], provenance["outputs"])
    table = pq.read_table(tmp_path / "output" / "predictions.parquet")
    assert table.column_names == [
        "run",
        "id",
        "gold",
        "predicted",
        "score",
        "piece_words",
        "piece_predicted",
        "piece_score",
    ]


def test_it_names_what_is_missing(tmp_path, model):
    run_file = tmp_path / "run.yaml"
    run_file.write_text("model: tiny\n")
    common = ["--model", model, "--checkpoints", tmp_path / "c", "--output-dir", tmp_path / "o"]
    short = start(["--run", run_file, "--task", tmp_path, *common])
    assert short.returncode == 1 and "required field `dataset`" in short.stderr
    run_file.write_text(yaml.safe_dump(run_settings("ner", NER_LABELS)))
    empty = start(["--run", run_file, "--task", tmp_path, *common])
    assert empty.returncode == 1 and "not a prepared dataset" in empty.stderr
