"""The examples for data, models and corpora of one's own run, on the miniature's models."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from helpers.configurations import CONFIG, ROOT

from workflow.conftest import demo_configuration, run_snakemake

pytestmark = pytest.mark.slow


def run(folder: Path, example: str, *targets: str, change: dict | None = None) -> None:
    """Run an example over the miniature's configuration in the miniature's folder."""
    files = [str(CONFIG / "examples" / example)]
    if change is not None:
        (folder / f"small-{example}").write_text(yaml.safe_dump(change))
        files.append(f"small-{example}")
    options = ["--profile", str(ROOT / "profiles" / "demo"), *demo_configuration(*files), "--", *targets]
    done = run_snakemake(folder, *options)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def test_own_data(miniature_folder: Path) -> None:
    mirror = miniature_folder / "results/demo/miniature"
    words = "The\tO\nTP53\tB-Gene\ngene\tI-Gene\nand\tO\naspirin\tB-Drug\n.\tO\n\n"
    sentences = "TP53 causes disease .\tyes\nAspirin does nothing .\tno\n"
    question = {"id": "q1", "question": "Which gene?", "answers": [{"text": "TP53", "answer_start": 4}]}
    squad = {"data": [{"paragraphs": [{"context": "The TP53 gene.", "qas": [question]}]}]}
    for folder in ("ner", "sentences", "questions"):
        (mirror / folder).mkdir(exist_ok=True)
    for split in ("train", "devel", "test"):
        (mirror / "ner" / f"{split}.tsv").write_text(words * 8)
        (mirror / "sentences" / f"{split}.tsv").write_text(sentences * 8)
        (mirror / "questions" / f"{split}.json").write_text(json.dumps(squad))
    small = {"run": {"seeds": [42]}, "models": {"BioBERT-v1.1": {"optimisation": {"steps": 4, "warmup_steps": 1}}}}
    run(miniature_folder, "own_data.yaml", "results/own_data/finetuning/BioBERT-v1.1/scores.tsv", change=small)
    scores = pd.read_csv(miniature_folder / "results/own_data/finetuning/BioBERT-v1.1/scores.tsv", sep="\t")
    assert set(scores.dataset) == {"my-ner", "my-sentences", "my-questions"}
    assert set(scores[scores.task == "ner"].metric) >= {"precision", "recall", "f1", "entities"}


def test_squad_stage(miniature_folder: Path) -> None:
    """One of the miniature's starting points, over a SQuAD of one question."""
    stage = miniature_folder / "results/demo/miniature/stage"
    stage.mkdir(exist_ok=True)
    question = {"id": "q1", "question": "Which gene?", "answers": [{"text": "TP53", "answer_start": 4}]}
    (stage / "squad.json").write_text(
        json.dumps({"data": [{"paragraphs": [{"context": "The TP53 gene.", "qas": [question]}]}]})
    )
    model, dataset = "DistilBERT-cased", "BioASQ-7b-after-SQuAD"
    small = {
        "run": {"models": [model], "datasets": [dataset]},
        "models": {model: {"source": "path", "path": "{mirror}/checkpoints/distilbert-cased"}},
        "datasets": {
            "SQuAD": {
                "source": None,
                "folder": "{mirror}/stage",
                "files": {"train": "squad.json", "test": "squad.json"},
                "counts": None,
            },
            dataset: {"source": "miniature_datasets", "counts": None, "finetuning": {"epochs": 1}},
        },
        "reporting": {"baseline_model": model},
    }
    results = "results/squad_stage"
    run(miniature_folder, "squad_stage.yaml", f"{results}/finetuning/{model}/scores.tsv", change=small)
    scores = pd.read_csv(miniature_folder / results / "finetuning" / model / "scores.tsv", sep="\t")
    assert set(scores.dataset) == {dataset} and set(scores.run) == {"seed42", "seed43"}
    stage_runs = json.loads((miniature_folder / results / "finetuning" / model / "SQuAD/training.json").read_text())
    assert [one["run"] for one in stage_runs["runs"]] == ["seed42"]
    command = [sys.executable, str(ROOT / "scripts/trace_cell.py"), "--results", results, "--task", "qa", "--verify"]
    command += ["--dataset", dataset, "--model", model, "--metric", "mrr", "--protocol", "standard"]
    traced = subprocess.run(command, cwd=miniature_folder, capture_output=True, text=True)
    assert traced.returncode == 0, traced.stderr
    assert f"started from {model} fine-tuned on SQuAD" in traced.stdout


def test_own_model(miniature_folder: Path) -> None:
    objective = [
        {"term": "mlm", "weight": 1.0},
        {"term": "logit_kl", "weight": 4.0, "temperature": 2.0},
        {"term": "hidden_cosine", "weight": 1.0, "layers": [[1, 1], [2, 2]]},
    ]
    small = {
        "run": {"datasets": ["GAD"], "seeds": [42]},
        "datasets": {"GAD": {"folds": [1], "finetuning": {"epochs": 1}}},
        "models": {
            "BioBERT-4L": {
                "student": {"teacher_layers": [0, 1]},  # of the miniature's biobert-v1.2, which has two
                "objective": objective,
                "optimisation": {"steps": 20, "warmup_steps": 2},
            },
        },
    }
    run(miniature_folder, "own_model.yaml", "BioBERT-4L", change=small)
    results = miniature_folder / "results/own_model"
    manifest = json.loads((results / "pretraining/BioBERT-4L/model/manifest.json").read_text())
    assert manifest["architecture"] == "bert"
    scores = pd.read_csv(results / "finetuning/BioBERT-4L/scores.tsv", sep="\t")
    assert set(scores.dataset) == {"GAD"}
    assert set(scores.run) == {"seed42-fold1"}


def test_own_corpus(miniature_folder: Path) -> None:
    mirror = miniature_folder / "results/demo/miniature"
    with gzip.open(mirror / "notes.txt.gz", "wt", encoding="utf-8") as stream:
        stream.write("A first document.\nA second one.\n")
    (mirror / "articles.jsonl").write_text(json.dumps({"text": "A third document."}) + "\n")
    results = miniature_folder / "results/own_corpus"
    small = {"models": {"BioBERT-v1.1": {"optimisation": {"steps": 4, "warmup_steps": 1}}}}
    target = "results/own_corpus/pretraining/BioBERT-v1.1/training.json"
    run(miniature_folder, "own_corpus.yaml", target, change=small)
    stores = [results / f"corpus/tokens/cased/{batch}/manifest.json" for batch in ("0001", "0002")]
    assert [json.loads(store.read_text())["documents"] for store in stores] == [2, 1]
    assert json.loads((miniature_folder / target).read_text())["step"] == 4
