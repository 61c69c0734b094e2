"""The miniature's results say where they come from: traces without a gap, the research object, citations, cards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.configurations import CONFIG, ROOT, read

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("miniature")]

RESULTS = Path("results/demo")
MODELS = read("demo.yaml")["run"]["models"]


def start(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / f"{program}.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("task", "dataset", "model", "metric", "protocol"),
    [
        ("ner", "NCBI-disease", "DistilBioBERT", "f1", "reference"),
        ("re", "GAD", "TinyBioBERT", "f1", "standard"),
        ("qa", "BioASQ-7b", "BioMobileBERT", "mrr", "standard"),
    ],
)
def test_a_cell_is_traced_to_the_pubmed_files(finished_miniature, task, dataset, model, metric, protocol) -> None:
    place = ["--task", task, "--dataset", dataset, "--model", model, "--metric", metric, "--protocol", protocol]
    done = start(finished_miniature, "trace_cell", *place, "--configfile", str(CONFIG / "demo.yaml"), "--verify")
    assert done.returncode == 0, done.stderr
    assert "; 0 gaps" in done.stderr, done.stdout
    for number in (1, 2, 3):
        assert f"pubmed26n{number:04d}.xml.gz: md5 " in done.stdout
    assert f"fine-tuning {RESULTS}/finetuning/{model}/{dataset}" in done.stdout


def test_a_damaged_file_breaks_the_trace(finished_miniature) -> None:
    predictions = finished_miniature / RESULTS / "finetuning/TinyBioBERT/ChemProt/predictions.parquet"
    whole, facts = predictions.read_bytes(), predictions.stat()
    place = ["--task", "re", "--dataset", "ChemProt", "--model", "TinyBioBERT", "--metric", "f1"]
    try:
        predictions.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        done = start(
            finished_miniature, "trace_cell", *place, "--protocol", "standard", "--results", str(RESULTS), "--verify"
        )
    finally:  # other tests go on with these results, whose times Snakemake compares
        predictions.write_bytes(whole)
        os.utime(predictions, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert done.returncode == 1
    assert "sha256 of results/demo/finetuning/TinyBioBERT/ChemProt/predictions.parquet" in done.stderr


def test_the_research_object_lists_tables_figures_and_models(finished_miniature) -> None:
    results = finished_miniature / RESULTS
    crate = json.loads((results / "ro-crate-metadata.json").read_text())
    known = {entity["@id"]: entity for entity in crate["@graph"]}
    made = {one["@id"] for one in known["#run"]["result"]}
    assert {"tables/ner.csv", "figures/scores.svg", "reporting/checks.txt", "reporting/citations.md"} <= made
    assert {f"pretraining/{model}/model/" for model in MODELS} <= made
    assert {f"reporting/model_cards/{model}.md" for model in MODELS} <= made
    for name, entity in known.items():
        if "File" in entity["@type"] and ":" not in name:
            assert (results / name).is_file(), name


def test_cards_and_citations_are_of_this_run(finished_miniature) -> None:
    reporting = finished_miniature / RESULTS / "reporting"
    for model in MODELS:
        record = json.loads((finished_miniature / RESULTS / "pretraining" / model / "provenance.json").read_text())
        card = (reporting / "model_cards" / f"{model}.md").read_text()
        assert record["fingerprint"] in card and "| NCBI-disease | standard |" in card
    assert "miniature_datasets" in (reporting / "citations.md").read_text()


def test_a_model_of_generated_data_is_not_published(finished_miniature) -> None:
    options = ["--model", "DistilBioBERT", "--repository", "me/tiny", "--results", str(RESULTS)]
    done = start(finished_miniature, "publish_model", *options)
    assert done.returncode == 1
    assert "is no model to publish. Generated data: " in done.stderr
    assert "Traceback" not in done.stderr
