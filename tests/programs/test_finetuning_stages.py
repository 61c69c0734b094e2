"""Fine-tuning that starts from an earlier one: its head and weights are taken, and decide the fingerprint."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import finetune_model
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from helpers.finetuning import NER_LABELS, ner_rows, qa_rows, run_settings, write_dataset, write_model

from compactbio.errors import UserError
from compactbio.finetuning.runs.kept_weights import kept_digest
from compactbio.training.deadlines import STOPPING

Start = Callable[[Path, str, dict, Path, Path], None]
LABELS = {"ner": NER_LABELS, "qa": []}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "bert", masked_lm=True)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    root = tmp_path_factory.mktemp("tasks")
    write_dataset(root / "ner", "ner", {"train": ner_rows(96, 1), "test": ner_rows(20, 3)}, NER_LABELS)
    write_dataset(root / "qa", "qa", {"train": qa_rows(96, 5), "test": qa_rows(20, 6)}, [])
    return root


@pytest.fixture
def start(monkeypatch, caplog) -> Start:
    """Run the program in this process as the rules do, on a dataset's folder in a results folder."""
    torch.set_num_threads(1)
    handlers = {number: signal.getsignal(number) for number in STOPPING}

    def run(results: Path, dataset: str, settings: dict, model: Path, task: Path) -> None:
        folder = results / dataset
        folder.mkdir(exist_ok=True)
        (folder / "run.yaml").write_text(yaml.safe_dump({**settings, "dataset": dataset}))
        line = ["finetune_model.py", "--run", folder / "run.yaml", "--model", model, "--task", task]
        line += ["--checkpoints", results / "checkpoints" / dataset, "--output-dir", folder]
        monkeypatch.setattr(sys, "argv", list(map(str, line)))
        caplog.clear()
        with caplog.at_level(logging.INFO):
            finetune_model.main()

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def predicted(results: Path, dataset: str) -> list[dict]:
    """Return the predictions without their scores, which a training at a rate of nearly zero moves a little."""
    rows = pq.read_table(results / dataset / "predictions.parquet").to_pylist()
    return [
        {name: value for name, value in row.items() if "score" not in name} for row in rows if row.get("rank", 1) == 1
    ]


@pytest.mark.parametrize("task", ["ner", "qa"])
def test_a_chain_of_three_goes_on_where_the_one_before_ended(task, start, caplog, model, tasks, tmp_path):
    """At a rate of nearly zero a later stage predicts what the first one learnt: weights and head are its own."""
    learns = {**run_settings(task, LABELS[task], epochs=4), "keep_weights": True}
    stands = {**run_settings(task, LABELS[task], epochs=1, learning_rate=1.0e-12), "keep_weights": True}
    start(tmp_path, "first", learns, model, tasks / task)
    for before, dataset in (("first", "second"), ("second", "third")):
        settings = {**stands, "starts_from": before}
        start(tmp_path, dataset, settings, tmp_path / before / "model", tasks / task)
        assert "new: nothing" in caplog.text
        assert predicted(tmp_path, dataset) == predicted(tmp_path, "first")
        record = json.loads((tmp_path / dataset / "provenance.json").read_text())
        assert record["inputs"]["model"] == kept_digest(tmp_path / before / "model")
    start(tmp_path, "unlearnt", stands, model, tasks / task)
    assert predicted(tmp_path, "unlearnt") != predicted(tmp_path, "first")


def test_other_weights_make_another_run_and_spoilt_ones_are_refused(start, model, tasks, tmp_path):
    stage = {**run_settings("ner", NER_LABELS, epochs=1), "keep_weights": True}
    later = {**run_settings("ner", NER_LABELS, epochs=1), "starts_from": "first"}
    marks = []
    for seed in (1, 2):
        runs = [{"run": f"seed{seed}", "seed": seed, "fold": 0}]
        start(tmp_path, "first", {**stage, "runs": runs}, model, tasks / "ner")
        start(tmp_path, "later", later, tmp_path / "first/model", tasks / "ner")
        marks.append(json.loads((tmp_path / "later/training.json").read_text())["runs"][0]["fingerprint"])
    assert marks[0] != marks[1]
    (tmp_path / "first/model/config.json").write_text("{}")
    with pytest.raises(UserError, match=r"first/model/config\.json has 2 bytes.*run the workflow again"):
        start(tmp_path, "later", later, tmp_path / "first/model", tasks / "ner")
