"""describe_run as a user starts it, on made-up results."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import pytest
from helpers.configurations import ROOT
from helpers.reporting import PROVENANCE, score_rows, write_rows

from compactbio.files import write_json
from compactbio.settings.load import settings_of_files

TRAINING = {"model": "DistilBioBERT", "fingerprint": "f", "step": 100, "total_steps": 100, "seconds": 60.0}
TRAINING |= {"checkpoint": "step-00000100", "metrics": "metrics.jsonl", "loss_first": 9.0, "loss_last": 7.0}


@pytest.fixture
def results(tmp_path):
    """Scores of two models, a pre-training and a fine-tuning, no corpus and no benchmarks."""
    for folder in ("pretraining/DistilBioBERT", "finetuning/DistilBioBERT/GAD"):
        (tmp_path / folder).mkdir(parents=True)
        write_json(tmp_path / folder / "provenance.json", PROVENANCE)
        write_json(tmp_path / folder / "training.json", TRAINING)
    write_rows(tmp_path / "scores.tsv", [*score_rows("BioBERT-v1.1"), *score_rows("DistilBioBERT")])
    (tmp_path / "checks.txt").write_text("All checks passed.\nscores: all fine\n")
    return tmp_path


def describe(results, config):
    command = [sys.executable, str(ROOT / "scripts" / "describe_run.py"), "--config", config]
    command += ["--used", *settings_of_files([])["run"]["models"]]
    command += ["--scores", results / "scores.tsv", "--checks", results / "checks.txt"]
    command += ["--trainings", *sorted(results.glob("*/DistilBioBERT/**/provenance.json")), "--corpus"]
    command += ["--benchmarks", results / "benchmarks", "--output-dir", results / "pages"]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=120)


def test_pages_of_a_run(results):
    done = describe(results, json.dumps(settings_of_files([])))
    assert done.returncode == 0, done.stderr
    pages = ("run", "corpus", "costs", "deviations", "environment")
    names = {f"{page}.{form}" for page in pages for form in ("md", "html")} | {"costs.csv"}
    assert {path.name for path in (results / "pages").iterdir()} == names
    assert "100,000" in (results / "pages/run.md").read_text()
    assert "no corpus was read" in (results / "pages/corpus.html").read_text()
    with (results / "pages/costs.csv").open(newline="") as stream:
        assert [row["stage"] for row in csv.DictReader(stream)] == ["finetuning", "pretraining"]


def test_a_broken_configuration_is_refused_in_one_line(results):
    done = describe(results, "{")
    assert done.returncode == 1
    assert "--config is not JSON" in done.stderr and "Traceback" not in done.stderr
