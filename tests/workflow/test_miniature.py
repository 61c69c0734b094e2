"""The whole workflow end to end on the miniature: what it leaves, that it learns, what a change reruns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from helpers.configurations import ROOT, read

from compactbio.scoring.score_rows import POOLED
from workflow.conftest import demo_configuration, jobs_of, run_snakemake

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("miniature")]

MODELS = read("demo.yaml")["run"]["models"]


@pytest.fixture(scope="session")
def scores(finished_miniature: Path) -> pd.DataFrame:
    return pd.read_csv(finished_miniature / "results/demo/reporting/scores.tsv", sep="\t", dtype={"run": str})


def test_every_model_is_scored_on_every_dataset_and_run(scores: pd.DataFrame) -> None:
    counted = (
        scores[(scores.protocol == "standard") & (scores.run != POOLED)].groupby(["model", "dataset"])["run"].nunique()
    )
    assert set(scores.model) == set(MODELS)
    assert set(scores.dataset) == {"NCBI-disease", "GAD", "ChemProt", "BioASQ-7b"}
    assert set(counted) == {2}


def test_scores_show_learning(scores: pd.DataFrame) -> None:
    """Most models are well above what guessing gives, and the tables are not all at the top."""
    standard = scores[scores.protocol == "standard"]
    mean = standard[standard.metric.isin(["f1", "mrr"])].groupby(["model", "dataset"])["value"].mean().unstack()
    median = mean.median()
    assert median["NCBI-disease"] > 0.4, mean  # guessing finds next to no whole entity
    assert median["GAD"] > 0.65, mean  # always saying yes gives 0.62
    assert median["ChemProt"] > 0.4, mean  # six classes
    assert median["BioASQ-7b"] > 0.15, mean  # one of some hundred spans
    assert median.max() < 0.98, mean


@pytest.mark.parametrize("model", MODELS)
def test_pretraining_lowers_the_loss_and_exports_a_loadable_model(finished_miniature: Path, model: str) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    folder = finished_miniature / "results/demo/pretraining" / model
    training = json.loads((folder / "training.json").read_text())
    assert training["step"] == training["total_steps"]
    assert training["loss_last"] < training["loss_first"]
    assert AutoModelForMaskedLM.from_pretrained(folder / "model").config.vocab_size == len(
        AutoTokenizer.from_pretrained(folder / "model")
    )
    assert json.loads((folder / "provenance.json").read_text())["fingerprint"] == training["fingerprint"]
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert metrics[-1]["step"] == training["total_steps"]


def test_tables_and_figures_are_there(finished_miniature: Path) -> None:
    results = finished_miniature / "results/demo"
    for table in ("ner", "re", "qa", "summary", "ner_overview", "classes"):
        for form in ("csv", "md", "tex"):
            assert (results / "tables" / f"{table}.{form}").stat().st_size > 100
    assert "BioBERT-v1.1" in (results / "tables/ner.md").read_text()
    for figure in ("scores.png", "scores.pdf", "pretraining/TinyBioBERT.svg"):
        assert (results / "figures" / figure).stat().st_size > 10_000


def test_everything_says_that_its_data_were_generated(finished_miniature: Path) -> None:
    results = finished_miniature / "results/demo"
    pages = [path for kind in ("md", "html", "tex") for path in (results / "tables").glob(f"*.{kind}")]
    pages += [path for path in (results / "reporting").rglob("*") if path.suffix in (".md", ".html")]
    pages += [*(results / "figures").rglob("*.svg"), results / "corpus/summary.md", results / "tables/verdict.rst"]
    cards = [*results.glob("pretraining/*/model/README.md"), *results.glob("finetuning/*/*/model/README.md")]
    assert len(cards) >= 2 * len(MODELS) and len(list(results.glob("reporting/deployment/*/README.md"))) == len(MODELS)
    assert [str(page) for page in (*pages, *cards) if "Generated data" not in page.read_text(encoding="utf-8")] == []


def test_the_first_page_and_the_cards_say_nothing_of_the_paper(finished_miniature: Path) -> None:
    """The miniature is not compared with it, and none of its models knows PubMed."""
    results = finished_miniature / "results/demo"
    index = (results / "tables/index.md").read_text(encoding="utf-8").lower()
    assert "paper" not in index and "authors" not in index and "64 of the 64 runs" in index
    for card in (*results.glob("reporting/model_cards/*.md"), *results.rglob("model/README.md")):
        text = card.read_text(encoding="utf-8")
        assert not [word for word in ("PubMed", "Rohanian", "iomedical", str(finished_miniature)) if word in text], card


def test_the_outcome_is_ten_lines_at_most(finished_miniature: Path) -> None:
    program = [sys.executable, str(ROOT / "scripts" / "show_outcome.py"), *demo_configuration()]
    done = subprocess.run(program, cwd=finished_miniature, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 10
    assert lines[0] == "8 models were fine-tuned on 4 datasets: 64 runs."
    assert lines[1].startswith("Generated data: ")
    assert "Checks of scores and tables: All checks passed." in lines
    summary = pd.read_csv(finished_miniature / "results" / "demo" / "tables" / "summary.csv")
    summary = summary[(summary.protocol == "standard") & (summary.model != "BioBERT-v1.1")]
    best = summary[summary.task == "ner"].sort_values("average").iloc[-1]
    assert any(line.startswith("NER, F1 (%)") and f"{best.model} {best.average:.2f}" in line for line in lines)


def test_the_outcome_of_an_unfinished_run_names_what_is_missing(tmp_path: Path) -> None:
    program = [sys.executable, str(ROOT / "scripts" / "show_outcome.py")]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "results/tables/summary.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_finished_run_has_nothing_to_do(finished_miniature: Path) -> None:
    done = run_snakemake(finished_miniature, "--dry-run", *profile(), *demo_configuration())
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_changed_learning_rate_reruns_its_branch_only(finished_miniature: Path) -> None:
    change = finished_miniature / "change.yaml"
    change.write_text(yaml.safe_dump({"models": {"TinyBioBERT": {"optimisation": {"peak_learning_rate": 0.0011}}}}))
    done = run_snakemake(finished_miniature, "--dry-run", *profile(), *demo_configuration(str(change)))
    jobs = jobs_of(done)
    assert jobs["resolve_run"] == jobs["pretrain_model"] == jobs["export_model"] == jobs["score_model"] == 1
    assert jobs["finetune_model"] == 4
    assert not {"tokenize_shard", "parse_baseline", "prepare_task", "fetch_checkpoint"} & set(jobs)


def test_what_changes_nothing_reruns_nothing(finished_miniature: Path) -> None:
    """Where and how fast jobs run is no part of a result."""
    resources = ["--set-resources", "pretrain_model:gpu=4", "pretrain_model:micro_batch_tokens=4096"]
    done = run_snakemake(finished_miniature, "--dry-run", *profile(), *demo_configuration(), *resources)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_the_report_is_one_file(report: Path) -> None:
    assert "Named-entity recognition" in report.read_text()


def profile() -> list[str]:
    """Return the option that names the demo's profile."""
    return ["--profile", str(ROOT / "profiles" / "demo")]
