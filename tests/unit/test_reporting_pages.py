"""The pages on a run: what was run, costs, deviations, environment."""

from __future__ import annotations

from copy import deepcopy

import pytest
from helpers.reporting import PROVENANCE

from compactbio.errors import UserError
from compactbio.files import write_json
from compactbio.reporting.pages.deviations import deviations_document, differences
from compactbio.reporting.pages.environment import environment_document
from compactbio.reporting.pages.overview import corpus_document, made_how, run_document
from compactbio.reporting.pages.run_costs import costs_document, costs_records, in_words, read_benchmarks
from compactbio.reporting.pages.training_records import read_trained
from compactbio.reporting.render import to_markdown
from compactbio.scoring.score_rows import POOLED, Score
from compactbio.settings.load import settings_of_files


@pytest.fixture(scope="module")
def paper():
    return settings_of_files([])


@pytest.fixture
def config(paper):
    """The paper's configuration, made small: two models, two datasets, two seeds, a short pre-training."""
    small = deepcopy(paper)
    small["run"] |= {"models": ["BioBERT-v1.1", "DistilBioBERT"], "datasets": ["BC2GM", "GAD"], "seeds": [42, 43]}
    small["datasets"]["GAD"]["folds"] = [1, 2]
    small["models"]["DistilBioBERT"]["optimisation"]["steps"] = 50
    return small


def cells(text: str, start: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def row(model, dataset, run):
    return Score("ner", dataset, model, run, "standard", "f1", 0.5)


def test_what_was_run_and_what_not(config, paper):
    scores = [row("BioBERT-v1.1", "BC2GM", "seed42"), row("BioBERT-v1.1", "BC2GM", "seed43")]
    scores += [row("BioBERT-v1.1", "GAD", name) for name in ("seed42-fold1", POOLED)]
    text = to_markdown(
        run_document(config, paper, scores, {"DistilBioBERT": 50}, ["All checks passed.", "scores: 3 rows: fine"])
    )
    assert "3 of the 8 runs" in text
    assert "Without any: DistilBioBERT on BC2GM, DistilBioBERT on GAD." in text
    assert cells(text[text.index("### Runs") :], "BioBERT-v1.1") == ["BioBERT-v1.1", "2 of 2", "1 of 2"]
    assert cells(text, "DistilBioBERT")[2:] == ["50", "50", "100,000"]
    assert cells(text, "scores") == ["scores", "3 rows: fine"]
    left_out = next(line for line in text.splitlines() if line.startswith("Not part of this run"))
    assert "BioMobileBERT" in left_out and "JNLPBA" in left_out and "1 of 3 seeds" in left_out
    assert "full length of the pre-trainings of DistilBioBERT" in left_out


def test_a_run_that_is_not_compared_says_nothing_of_the_paper(config, paper):
    config["reporting"]["compare_with_paper"] = False
    text = to_markdown(run_document(config, paper, [], {"DistilBioBERT": 50}, ["All checks passed."]))
    assert "paper" not in text and "Not part of this run" not in text
    assert cells(text, "DistilBioBERT")[2:] == ["50", "50"]


def test_the_paper_itself_leaves_nothing_out(paper):
    steps = {"DistilBioBERT": 100_000}
    assert "asks for is part of this run" in to_markdown(run_document(paper, paper, [], steps, []))


def test_how_models_are_made(paper):
    assert made_how(paper["models"]["BioBERT-v1.1"]).startswith("taken as it is from dmis-lab/")
    assert made_how(paper["models"]["DistilBioBERT"]) == "distilled from biobert-v1.2, from some of its layers"
    assert made_how(paper["models"]["TinyBioBERT"]) == "distilled from biobert-v1.2, from random weights"
    assert made_how(paper["models"]["BioMobileBERT"]) == "trained on with mlm, from mobilebert-uncased"
    scratch = paper["models"]["BioMobileBERT"] | {"student": {"shape": {"hidden_size": 64}}}
    assert made_how(scratch) == "trained with mlm, from random weights"


def test_deviations_name_every_switch_and_every_number_that_differs(config, paper):
    config["quirks"]["teacher_dropout"] = "sound"
    config["models"]["BioMobileBERT"]["optimisation"]["steps"] = 7  # no part of this run
    config["results_dir"] = "elsewhere"  # changes no number
    used = {"BioBERT-v1.1", "DistilBioBERT", "BC2GM", "GAD"}
    assert differences(config, paper, used) == [
        ("datasets.GAD.folds", list(range(1, 11)), [1, 2]),
        ("models.DistilBioBERT.optimisation.steps", 100_000, 50),
        ("run.datasets", paper["run"]["datasets"], ["BC2GM", "GAD"]),
        ("run.models", paper["run"]["models"], ["BioBERT-v1.1", "DistilBioBERT"]),
        ("run.seeds", [42, 43, 44], [42, 43]),
    ]
    text = to_markdown(deviations_document(config, paper, used))
    assert cells(text, "teacher_dropout")[1:] == ["sound", "the teacher runs without dropout"]
    assert all(f"| {name} " in text for name in paper["quirks"])
    assert "teacher_dropout, finetuning_seeds set otherwise" in text and "5 keys" in text
    assert "Nothing differs" in to_markdown(deviations_document(paper, paper, used))


def write_provenance(path, seconds, gpu_hours=0.0, *, torch="2.0", gpus=(), commit="abc", dirty=False):
    facts = PROVENANCE | {
        "seconds": seconds,
        "gpu_hours": gpu_hours,
        "packages": {"python": "3.11", "torch": torch},
        "hardware": {"processor": "A processor", "cores": 2, "gpus": list(gpus)},
        "code": {"commit": commit, "dirty": dirty},
    }
    path.parent.mkdir(parents=True)
    write_json(path, facts)
    return path


@pytest.fixture
def trained(tmp_path):
    root = tmp_path / "results"
    return read_trained(
        [
            write_provenance(root / "pretraining/A/provenance.json", 7200.0, 8.0, gpus=["H200"] * 4),
            write_provenance(root / "pretraining/Teacher/provenance.json", 60.0, torch="2.1", dirty=True),
            write_provenance(root / "finetuning/A/N/provenance.json", 100.0, 0.5),
            write_provenance(root / "finetuning/A/Q/provenance.json", 50.0, 0.25),
        ]
    )


def test_costs_by_model_and_rule(tmp_path, trained):
    header = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for name, line in (("N", "200.0\t-\t500.0\t-\t-\t-\t-\t-\t-\t150.0"), ("Q", "0.5\t-\tNA\t-\t-\t-\t-\t-\t-\tNA")):
        path = tmp_path / "benchmarks/finetune_model/A" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(header + line + "\n")
    benchmarks = read_benchmarks(tmp_path / "benchmarks")
    text = to_markdown(costs_document(["A", "B"], trained, benchmarks))
    assert cells(text, "A ") == ["A", "2.0 h", "8.00", "2.5 min", "0.75"]
    assert cells(text, "B ") == ["B", "–", "–", "–", "–"]
    assert cells(text, "Teacher") == ["Teacher", "60.0 s", "0.00", "–", "–"]
    assert cells(text, "all") == ["all", "2.0 h", "8.00", "2.5 min", "0.75"]
    assert cells(text, "finetune_model") == ["finetune_model", "2", "3.3 min", "2.5 min", "500"]
    assert "No training used a GPU" not in text
    assert [record["seconds"] for record in costs_records(trained)] == [7200.0, 60.0, 100.0, 50.0]
    assert read_benchmarks(tmp_path / "nowhere").empty
    assert [in_words(seconds) for seconds in (7.25, 119, 7199, 7200)] == ["7.2 s", "119.0 s", "120.0 min", "2.0 h"]


def test_each_environment_stands_once_with_its_trainings(trained):
    text = to_markdown(environment_document(trained, {"snakemake": "9"}))
    assert cells(text, "abc ")[1] == "pre-training of A, fine-tuning of A on N, fine-tuning of A on Q"
    assert cells(text, "abc with changes")[1] == "pre-training of Teacher"
    assert cells(text[text.index("### Hardware") :], "A processor")[1:3] == ["2", "4 × H200"]
    assert cells(text, "torch")[1:] == ["2.0", "2.1"]
    assert cells(text, "snakemake")[1] == "9"


def test_provenance_from_elsewhere_is_refused(tmp_path):
    with pytest.raises(UserError, match="lies neither under"):
        read_trained([write_provenance(tmp_path / "somewhere/A/provenance.json", 1.0)])
    write_json(tmp_path / "provenance.json", {"seconds": 1.0})
    with pytest.raises(UserError, match="required field `inputs`"):
        read_trained([tmp_path / "provenance.json"])


def test_the_corpus_in_numbers():
    rows = [
        {"subject": "text", "measure": "citations read", "value": "30000", "share": "", "of": ""},
        {"subject": "text", "measure": "citations kept", "value": "27000", "share": "0.9", "of": "citations read"},
        {"subject": "tokenizer cased", "measure": "mean length", "value": "63.1", "share": "", "of": ""},
    ]
    text = to_markdown(corpus_document(rows))
    assert "| 30,000 |" in text.replace("  ", "") and "90.0 % of citations read" in text and "63.1" in text
    assert "no corpus was read" in to_markdown(corpus_document([]))
