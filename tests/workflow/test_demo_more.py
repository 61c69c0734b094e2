"""The second miniature, end to end: architectures, tokenizers, kinds of task and forms of data beside the first one's.

Two of its models are trained and not fine-tuned here: teachers, whose students are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from helpers.cards import run_program
from helpers.configurations import CONFIG, ROOT, read

from workflow.conftest import run_snakemake

pytestmark = pytest.mark.slow

CONFIGURATION = read("demo_more.yaml")
TRAINED = {"RoBERTa": "roberta", "ELECTRA": "electra", "ModernBERT": "modernbert", "ModernBERT-3L": "modernbert"}
MODELS = ["ELECTRA", "ModernBERT-3L", "ALBERT"]
CUT = {"run": {"models": MODELS}, "reporting": {"baseline_model": "ELECTRA"}}
# what a model of no use gets, with room above it: the commonest of three answers, no label, no relation, no entity
CHANCE = {"pairs": 0.6, "sentences": 0.4, "similarities": 0.3, "spans": 0.3, "columns": 0.3}
OPTIONS = ["--configfile", str(CONFIG / "demo_more.yaml"), "cut.yaml"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which the cut configuration has run."""
    folder = tmp_path_factory.mktemp("more")
    (folder / "cut.yaml").write_text(yaml.safe_dump(CUT))
    start(folder, "make_miniature", "--more", "--output", CONFIGURATION["mirror"])
    done = run_snakemake(folder, "--profile", str(ROOT / "profiles" / "demo"), *OPTIONS)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> Path:
    return folder / CONFIGURATION["results_dir"]


@pytest.fixture(scope="module")
def standard(results: Path) -> pd.DataFrame:
    """Each score of the standard protocol, by model, dataset and metric."""
    scores = pd.read_csv(results / "reporting/scores.tsv", sep="\t")
    return scores[scores.protocol == "standard"].set_index(["model", "dataset", "metric"])["value"]


def start(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the workflow that must succeed."""
    command = [sys.executable, str(ROOT / "scripts" / f"{program}.py"), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def metric_of(dataset: str) -> str:
    [metric] = (
        one["metric"]
        for group in CONFIGURATION["benchmark"]["groups"].values()
        for one in group.values()
        if one["dataset"] == dataset
    )
    return str(metric)


@pytest.mark.parametrize("dataset", CHANCE)
def test_most_models_learn(standard: Any, dataset: str) -> None:
    found = sorted(standard[model, dataset, metric_of(dataset)] for model in MODELS)
    assert found[1] > CHANCE[dataset], found
    assert found[-1] <= 1.0


@pytest.mark.parametrize("model", TRAINED)
def test_trainings_lower_the_loss_and_export_their_architecture(results: Path, model: str) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    made = results / "pretraining" / model
    training = json.loads((made / "training.json").read_text())
    assert training["step"] == training["total_steps"]
    assert training["loss_last"] < 0.95 * training["loss_first"]
    config = AutoModelForMaskedLM.from_pretrained(made / "model").config
    assert config.model_type == TRAINED[model]
    assert config.vocab_size == len(AutoTokenizer.from_pretrained(made / "model"))
    if model == "ModernBERT-3L":
        assert config.layer_types == ["full_attention", "sliding_attention", "full_attention"]


def test_the_benchmark_is_the_mean_of_its_groups(results: Path, standard: Any) -> None:
    table = pd.read_csv(results / "tables/benchmark.csv")
    text = (results / "tables/benchmark.md").read_text(encoding="utf-8")
    for model in MODELS:
        groups = [
            sum(standard[model, one["dataset"], one["metric"]] for one in group.values()) / len(group)
            for group in CONFIGURATION["benchmark"]["groups"].values()
        ]
        score = 100 * sum(groups) / len(groups)
        assert (table[table.model == model]["value"] - score).abs().min() < 1e-6
        assert f"{score:.2f}" in text
    assert "tags are read as BIO" in text and "–" not in text


def test_pages_say_what_was_run_and_that_it_is_generated(folder: Path, results: Path) -> None:
    assert (results / "reporting/checks.txt").read_text().startswith("All checks passed.")
    pages = [*(results / "tables").glob("*.md"), *results.glob("reporting/*/*.md"), *results.glob("reporting/*/*/*.md")]
    pages += results.glob("pretraining/*/model/README.md")
    assert len(pages) > 30
    assert [str(page) for page in pages if "Generated data" not in page.read_text(encoding="utf-8")] == []
    index = (results / "tables/index.md").read_text(encoding="utf-8")
    assert "15 of the 15 runs" in index and "paper" not in index.lower()
    summary = (results / "tables/summary.md").read_text(encoding="utf-8")
    assert "NER by the reference protocol; TC, MLC, REG by the standard one" in summary
    lines = start(folder, "show_outcome", *OPTIONS).stdout.splitlines()
    assert lines[0] == "3 models were fine-tuned on 5 datasets: 15 runs." and len(lines) <= 10
    assert "all are as they were written" in start(folder, "verify_results", *OPTIONS).stderr


def test_prepared_data_count_what_their_forms_cannot_say(results: Path) -> None:
    counts = {
        name: json.loads((results / "tasks" / name / "manifest.json").read_text())["counts"]
        for name in ("spans", "columns")
    }
    assert counts["spans"]["train"]["discontinuous"] > 0 and counts["spans"]["train"]["entities_of_other_types"] > 0
    assert counts["columns"]["train"]["illegal_tags"] == 0
    assert counts["columns"]["train"]["document_marks_skipped"] == 1


@pytest.mark.parametrize("model", MODELS)
def test_the_program_of_an_int8_card_names_what_the_stored_predictions_name(
    results: Path, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever begins a word in the tokenizer: a byte for a blank, or SentencePiece's sign of one."""
    blocks = (results / "miniature/columns/test.txt").read_text().strip().split("\n\n")[1:]
    words = [[line.split(" ")[0] for line in block.split("\n")] for block in blocks]
    rows = pq.read_table(results / "finetuning" / model / "columns" / "predictions.parquet").to_pylist()
    naming = [(words[row["id"]], row["predicted"]) for row in rows if {*row["predicted"]} != {"O"}][:15]
    program = results / "reporting/deployment" / model
    printed = [run_program(program, monkeypatch, capsys, text=" ".join(sentence)) for sentence, _ in naming]
    # but for what the rounding of its numbers moves
    assert sum(one == named(*two) for one, two in zip(printed, naming, strict=True)) >= 12, (printed, naming)


def named(words: list[str], tags: list[str]) -> list[str]:
    """Return the entities that tags of words name, with their types, as conlleval reads them."""
    found: list[list[str]] = []
    for word, (before, tag) in zip(words, pairwise(["O", *tags]), strict=True):
        letter, _, kind = tag.partition("-")
        if letter == "B" or (letter == "I" and before[2:] != kind):
            found.append([kind, word])
        elif letter == "I":
            found[-1].append(word)
    return [f"{' '.join(parts)} {kind}" for kind, *parts in found]


def test_a_finished_run_has_nothing_to_do(folder: Path) -> None:
    done = run_snakemake(folder, "--dry-run", "--profile", str(ROOT / "profiles" / "demo"), *OPTIONS)
    assert "Nothing to be done" in done.stdout + done.stderr
