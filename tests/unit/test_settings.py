"""The configuration refuses what cannot work, naming the key, before anything starts."""

import re

import pytest
from helpers.configurations import CONFIG, read

from compactbio.errors import UserError
from compactbio.settings import finetuning_run, load_settings, merge, pretraining_run

OTHERS = sorted(str(path.relative_to(CONFIG)) for path in (*CONFIG.glob("*.yaml"), *CONFIG.glob("examples/*.yaml")))
OTHERS = [name for name in OTHERS if name not in ("config.yaml", "schema.yaml")]


def paper(**changes: object) -> dict:
    return merge(read(), changes)


@pytest.mark.parametrize("name", OTHERS)
def test_every_shipped_configuration_is_valid(name: str) -> None:
    load_settings(merge(read(name), {"mirror": "somewhere"}))


def test_the_paper_has_the_published_numbers() -> None:
    config = load_settings(read())
    distil, tiny = pretraining_run(config, "DistilBioBERT"), pretraining_run(config, "TinyBioBERT")
    mobile = pretraining_run(config, "BioMobileBERT")
    assert [(term["term"], term["weight"]) for term in distil["objective"]] == [
        ("mlm", 2.0),
        ("logit_kl", 5.0),
        ("hidden_cosine", 1.0),
    ]
    assert distil["optimisation"]["steps"] == tiny["optimisation"]["steps"] == 100_000
    assert mobile["optimisation"]["steps"] == 200_000
    assert (distil["optimisation"]["peak_learning_rate"], mobile["optimisation"]["peak_learning_rate"]) == (5e-4, 1e-4)
    assert {run["optimisation"]["global_batch_size"] for run in (distil, tiny, mobile)} == {192}
    assert tiny["optimisation"]["warmup_steps"] == 10_000
    assert set(config["quirks"].values()) == {"reference"}
    assert set(load_settings(read("sound.yaml"))["quirks"].values()) == {"sound"}


def test_folds_replace_seeds_as_repetition() -> None:
    config = load_settings(read())
    assert [run["run"] for run in finetuning_run(config, "TinyBERT", "BC2GM")["runs"]] == ["seed42", "seed43", "seed44"]
    folds = finetuning_run(config, "TinyBERT", "GAD")["runs"]
    assert [run["fold"] for run in folds] == list(range(1, 11))
    assert {run["seed"] for run in folds} == {42}


def test_a_run_block_says_nothing_about_where_it_runs() -> None:
    config = load_settings(read())
    elsewhere = load_settings(paper(results_dir="elsewhere", downloads_dir="cache"))
    assert pretraining_run(config, "DistilBioBERT") == pretraining_run(elsewhere, "DistilBioBERT")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modles": {}}, r"unknown key `modles` \(did you mean `models`\?\)"),
        (
            {"models": {"TinyBioBERT": {"optimisation": {"stepz": 1}}}},
            r"TinyBioBERT\.optimisation: unknown key `stepz`",
        ),
        ({"models": {"TinyBioBERT": {"optimisation": {"peak_learning_rate": "1e-4"}}}}, r"is text for YAML"),
        ({"quirks": {"text": "full"}}, r"quirks\.text: 'full' is not one of reference, sound"),
        ({"corpus": {"baseline": {"year": 1999}}}, r"corpus\.baseline\.year"),
        ({"corpus": {"baseline": {"as_of": "2021-13-40"}}}, r"as_of: 2021-13-40 is not a date"),
        ({"corpus": {"baseline": {"numbers": [1335]}}}, r"\[1335\] beyond corpus\.baseline\.files"),
        ({"corpus": {"source": "documents"}}, r"corpus\.documents: empty"),
        ({"run": {"models": ["NoBERT"]}}, r"run\.models: `NoBERT` is not defined"),
        ({"run": {"datasets": ["NCBI"]}}, r"run\.datasets: `NCBI` is not defined"),
        (
            {"models": {"DistilBioBERT": {"student": {"teacher_layers": [0, 12]}}}},
            r"\[12\] beyond the teacher's 12 layers",
        ),
        ({"models": {"DistilBioBERT": {"student": {"shape": {"hidden_size": 3}}}}}, r"exactly one of teacher_layers"),
        (
            {"models": {"TinyBioBERT": {"student": {"shape": {"num_attention_heads": 4}}}}},
            r"4 heads and the teacher 12",
        ),
        ({"models": {"TinyBioBERT": {"tokenizer": "uncased"}}}, r"must share a vocabulary"),
        ({"models": {"TinyBioBERT": {"optimisation": {"warmup_steps": 100000}}}}, r"not below steps"),
        ({"models": {"TinyBioBERT": {"source": "path"}}}, r"models\.TinyBioBERT\.path: needed"),
        ({"models": {"TinyBioBERT": {"teacher": "TinyBioBERT"}}}, r"cycle \(TinyBioBERT -> TinyBioBERT\)"),
        ({"models": {"TinyBioBERT": {"objective": [{"term": "hidden_mse", "weight": 1}]}}}, r"layers: needed"),
        (
            {"models": {"BioTinyBERT": {"objective": [{"term": "logit_kl", "weight": 1.0}]}}},
            r"BioTinyBERT\.objective\[0\] \(logit_kl\): needs a teacher",
        ),
        (
            {"models": {"TinyBioBERT": {"objective": [{"term": "attention_mse", "weight": 1, "layers": [[5, 13]]}]}}},
            r"student layer 5 of \[5, 13\] is outside 1\.\.4",
        ),
        ({"datasets": {"GAD": {"positive_labels": ["2"]}}}, r"positive_labels: 2 not in datasets\.GAD\.labels"),
        ({"datasets": {"BC2GM": {"layout": "squad"}}}, r"`squad` is not a layout of ner"),
        ({"datasets": {"BC2GM": {"finetuning": {"epoch": 3}}}}, r"finetuning: unknown key `epoch`"),
        ({"datasets": {"BioASQ-7b": {"finetuning": {"stride": 384}}}}, r"stride: 384 is not below max_length"),
        ({"data_urls": {"biobert": "file:///x"}}, r"data_urls\.biobert: no row"),
        ({"finetuning": {"ner": {"max_length": 513}}}, r"513 exceeds 512 positions"),
    ],
)
def test_refusals_name_the_key(change: dict, message: str) -> None:
    with pytest.raises(UserError) as refused:
        load_settings(paper(**change), source_names={"biobert_datasets", "chemprot"})
    assert re.search(message, str(refused.value)), str(refused.value)


def test_a_longer_cycle_of_teachers_is_shown() -> None:
    trained = {"source": "train", "teacher": "DistilBioBERT", "student": {"teacher_layers": [0]}}
    objective = {"objective": [{"term": "mlm", "weight": 1.0}]}
    steps = {"optimisation": {"steps": 9, "warmup_steps": 1, "peak_learning_rate": 0.1, "weight_decay": 0.0}}
    change = {
        "models": {"BioBERT-v1.1": {**trained, **objective, **steps}, "DistilBioBERT": {"teacher": "BioBERT-v1.1"}}
    }
    with pytest.raises(UserError, match=r"DistilBioBERT -> BioBERT-v1\.1 -> DistilBioBERT"):
        load_settings(paper(**change))


def test_the_mirror_is_filled_in_and_asked_for() -> None:
    change = {"corpus": {"baseline": {"base_url": "file://{mirror}/pubmed"}}}
    with pytest.raises(UserError, match="--config mirror=FOLDER"):
        load_settings(paper(**change))
    filled = load_settings(paper(mirror="/data", **change))
    assert filled["corpus"]["baseline"]["base_url"] == "file:///data/pubmed"


def test_what_the_readme_names_exists() -> None:
    text = (CONFIG.parent / "README.md").read_text()
    linked = set(re.findall(r"\]\(([^)#:]+)\)", text))
    named = set(re.findall(r"(?:scripts|config|profiles|envs)/[\w./-]+\w", text))
    assert len(linked | named) > 10
    for name in linked | named:
        assert (CONFIG.parent / name).exists(), name
    targets = set(re.findall(r"^([a-z-]+):", (CONFIG.parent / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets
