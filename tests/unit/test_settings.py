"""The configuration refuses what cannot work, naming the key, before anything starts."""

import re
from pathlib import Path

import pytest
from helpers.configurations import CONFIG, read

from compactbio.errors import UserError
from compactbio.settings.load import load_settings, merge, read_configuration
from compactbio.settings.runs import finetuning_run, pretraining_run
from compactbio.training.schedules import SCHEDULES

OTHERS = sorted(str(path.relative_to(CONFIG)) for path in CONFIG.rglob("*.yaml"))
OTHERS = [name for name in OTHERS if name not in ("config.yaml", "schema.yaml")]


HUB_MODEL = {
    "source": "hub",
    "hub": {"repository": "a/b", "revision": "main"},
    "architecture": "bert",
    "tokenizer": "cased",
}


def paper(**changes: object) -> dict:
    return merge(read(), changes)


def shape_change(**keys: object) -> dict:
    return {"models": {"TinyBioBERT": {"student": {"shape": keys}}}}


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
    # docs/deviations.md says why
    assert {name for name, value in config["quirks"].items() if value != "reference"} == {"finetuning_seeds"}
    assert set(load_settings(read("sound.yaml"))["quirks"].values()) == {"sound"}


def test_folds_replace_seeds_as_repetition() -> None:
    config = load_settings(read())
    assert [run["run"] for run in finetuning_run(config, "TinyBERT", "BC2GM")["runs"]] == ["seed42", "seed43", "seed44"]
    folds = finetuning_run(config, "TinyBERT", "GAD")["runs"]
    assert [run["fold"] for run in folds] == list(range(1, 11))
    assert {run["seed"] for run in folds} == {42}


def test_relation_extraction_has_the_recipe_of_the_authors_next_paper() -> None:
    config = load_settings(read())
    gad, chemprot = (finetuning_run(config, "TinyBERT", name)["hyperparameters"] for name in ("GAD", "ChemProt"))
    recipe = {"learning_rate": 5e-5, "batch_size": 16, "epochs": 3, "schedule": "linear", "max_length": 512}
    assert recipe | {"warmup_fraction": 0.0, "weight_decay": 0.01, "precision": "fp32"} | gad == gad
    assert chemprot == gad | {"grid": {"learning_rate": [5e-5, 2e-5, 1e-5]}}  # GAD has nothing to choose by


def test_settings_that_are_null_leave_no_trace_in_a_run_file() -> None:
    config = load_settings(read())
    for name in config["datasets"]:
        options = finetuning_run(config, "TinyBERT", name)["hyperparameters"]
        assert not {"class_weights", "best_epoch_by", "patience", "added_tokens"} & options.keys()
        assert ("grid" in options) is (name == "ChemProt")
    grid = {"learning_rate": [1.0e-5, 5.0e-5]}
    changed = load_settings(paper(finetuning={"re": {"grid": grid, "best_epoch_by": "f1"}}))
    options = finetuning_run(changed, "TinyBERT", "GAD")["hyperparameters"]
    assert options["grid"] == grid and options["best_epoch_by"] == "f1"
    unset = load_settings(paper(finetuning={"re": {"grid": grid}}, datasets={"GAD": {"finetuning": {"grid": None}}}))
    assert "grid" not in finetuning_run(unset, "TinyBERT", "GAD")["hyperparameters"]


def test_weights_are_kept_of_the_dataset_that_is_measured_for_deployment_where_it_is_run() -> None:
    def kept(**changes: object) -> set[str]:
        config = load_settings(paper(**changes))
        datasets = config["run"]["datasets"]
        return {name for name in datasets if finetuning_run(config, "TinyBERT", name).get("keep_weights")}

    assert kept() == {"NCBI-disease"}
    assert kept(reporting={"deployment_dataset": "BioASQ-7b"}) == {"BioASQ-7b"}
    assert kept(reporting={"deployment_dataset": None}) == kept(run={"datasets": ["GAD"]}) == set()


def test_a_run_block_says_nothing_about_where_it_runs() -> None:
    config = load_settings(read())
    elsewhere = load_settings(paper(results_dir="elsewhere", downloads_dir="cache"))
    assert pretraining_run(config, "DistilBioBERT") == pretraining_run(elsewhere, "DistilBioBERT")


def test_the_default_optimizer_leaves_no_trace_in_a_run_file() -> None:
    def runs(**options: object) -> tuple[dict, dict]:
        config = load_settings(paper(pretraining={"optimisation": options}, finetuning={"ner": options}))
        return pretraining_run(config, "TinyBioBERT"), finetuning_run(config, "TinyBERT", "BC2GM")

    assert runs(optimizer={"name": "adamw"}, parameter_groups=[]) == runs(optimizer=None) == runs()
    groups = [{"parameters": r"layer\.0\.", "learning_rate_factor": 0.5}]
    chosen = {"optimizer": {"name": "muon", "momentum": 0.9}, "parameter_groups": groups}
    pretraining, finetuning = runs(**chosen)
    assert {key: pretraining["optimisation"][key] for key in chosen} == chosen
    assert {key: finetuning["hyperparameters"][key] for key in chosen} == chosen


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_of_the_training_can_be_chosen(schedule: str) -> None:
    chosen = {"finetuning": {"qa": {"schedule": schedule}}, "pretraining": {"optimisation": {"schedule": schedule}}}
    config = load_settings(paper(**chosen))
    assert pretraining_run(config, "DistilBioBERT")["optimisation"]["schedule"] == schedule
    assert finetuning_run(config, "TinyBERT", "BioASQ-7b")["hyperparameters"]["schedule"] == schedule


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"pretraining": {"optimisation": {"optimizer": {"name": "moun"}}}},
            r"optimisation\.optimizer\.name: 'moun' is not one of adamw, transformers_adamw, muon",
        ),
        (
            {"finetuning": {"re": {"optimizer": {"name": "muon", "momentun": 0.9}}}},
            r"finetuning\.re\.optimizer: unknown key `momentun` \(did you mean `momentum`",
        ),
        (
            {"models": {"TinyBioBERT": {"optimisation": {"parameter_groups": [{"parameters": "layer("}]}}}},
            r"models\.TinyBioBERT\.optimisation\.parameter_groups\.0\.parameters: 'layer\(' is no regular expression",
        ),
        (
            {"datasets": {"GAD": {"finetuning": {"parameter_groups": [{"parameters": "["}]}}}},
            r"datasets\.GAD\.finetuning\.parameter_groups\.0\.parameters: '\[' is no regular expression",
        ),
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
        ({"reporting": {"resamples": 100}}, r"reporting\.resamples: 100 is less than"),
        ({"run": {"models": ["NoBERT"]}}, r"run\.models: `NoBERT` is not defined"),
        ({"run": {"datasets": ["NCBI"]}}, r"run\.datasets: `NCBI` is not defined"),
        ({"reporting": {"deployment_dataset": "NCBI"}}, r"reporting\.deployment_dataset: `NCBI` is not defined"),
        (
            {"run": {"models": ["TinyBioBERT", "TinyBERT"]}},
            r"reporting\.baseline_model: `BioBERT-v1\.1` is not in run\.models, .* name one of TinyBioBERT, TinyBERT",
        ),
        ({"models": {"corpus": HUB_MODEL}}, r"models\.corpus: the name is taken by a target or rule"),
        ({"models": {"pretrain_model": HUB_MODEL}}, r"models\.pretrain_model: the name is taken"),
        (
            {"models": {"DistilBioBERT": {"student": {"teacher_layers": [0, 12]}}}},
            r"\[12\] beyond the teacher's 12 layers",
        ),
        ({"models": {"DistilBioBERT": {"student": {"shape": {"hidden_size": 3}}}}}, r"exactly one of teacher_layers"),
        (
            {"models": {"DistilBioBERT": {"architecture": "auto"}}},
            r"DistilBioBERT: architecture `auto` is evaluated, not",
        ),
        (
            {"corpus": {"max_length": 513}},
            r"corpus\.max_length: 513 exceeds the 512 positions of `DistilBioBERT`",
        ),
        (
            {"checkpoints": {"biobert-v1.2": {"architecture": "auto"}}},
            r"DistilBioBERT\.teacher \(`biobert-v1\.2`\): architecture `auto` is evaluated, not trained or distilled",
        ),
        (
            {"models": {"TinyBioBERT": {"student": {"shape": {"num_attention_heads": 4}}}}},
            r"4 heads and the teacher 12",
        ),
        (shape_change(n_layers=4), r"student\.shape: unknown key `n_layers` for bert; known: hidden_size"),
        (shape_change(num_hidden_layers=0), r"TinyBioBERT\.student\.shape\.num_hidden_layers: 0 is less than"),
        (shape_change(hidden_size=312.5), r"TinyBioBERT\.student\.shape\.hidden_size: 312\.5 is no whole number"),
        (shape_change(hidden_dropout_prob=1.5), r"student\.shape\.hidden_dropout_prob: 1\.5 is greater"),
        (shape_change(hidden_size=313), r"shape\.hidden_size: 313 cannot be split over num_attention_heads = 12"),
        (shape_change(max_position_embeddings=128), r"128 is below what corpus\.max_length = 256"),
        (
            {"models": {"TinyBioBERT": {"tokenizer": "uncased"}}},
            r"TinyBioBERT\.tokenizer: `uncased`, but the teacher `biobert-v1\.2` has `cased`: .* reads no logits",
        ),
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
        ({"datasets": {"BC2GM": {"finetuning": {"epoch": 3}}}}, r"BC2GM\.finetuning: unknown key `epoch`"),
        ({"datasets": {"BC2GM": {"finetuning": {"stride": 8}}}}, r"BC2GM\.finetuning: unknown key `stride`"),
        ({"datasets": {"BC2GM": {"finetuning": {"epochs": -3}}}}, r"datasets\.BC2GM\.finetuning\.epochs: -3"),
        ({"datasets": {"GAD": {"finetuning": {"epochs": 2.5}}}}, r"datasets\.GAD\.finetuning\.epochs: 2\.5"),
        (
            {"datasets": {"GAD": {"finetuning": {"learning_rate": 50}}}},
            r"GAD\.finetuning\.learning_rate: 50 is greater",
        ),
        ({"datasets": {"GAD": {"finetuning": {"learning_rate": "5e-5"}}}}, r"finetuning\.learning_rate: .*is text for"),
        (
            {"datasets": {"BioASQ-7b": {"finetuning": {"schedule": "cosin"}}}},
            r"BioASQ-7b\.finetuning\.schedule: 'cosin' is not one of linear, cosine",
        ),
        (
            {"datasets": {"BC2GM": {"counts": {"trian": {"rows": 1}}}}},
            r"BC2GM\.counts: unknown split `trian`; known: te",
        ),
        (
            {"datasets": {"BC2GM": {"counts": {"test": {"row": 1}}}}},
            r"counts\.test: unknown count `row`; known: also_in",
        ),
        ({"datasets": {"GAD": {"counts": {"validation": {"rows": 1}}}}}, r"GAD\.counts: unknown split `validation`"),
        ({"datasets": {"GAD": {"folds": [10, 11, 12]}}}, r"GAD\.folds: 11, 12 not there; the layout gad has 1 to 10"),
        ({"datasets": {"BC2GM": {"folds": [1]}}}, r"BC2GM\.folds: not known to tagged_words"),
        ({"datasets": {"BioASQ-7b": {"finetuning": {"stride": 384}}}}, r"stride: 384 is not below max_length"),
        ({"data_urls": {"biobert": "file:///x"}}, r"data_urls\.biobert: no row"),
        (
            {"finetuning": {"ner": {"max_length": 513}}},
            r"513 exceeds the 512 positions of `BioBERT-v1.1` and \d+ other models",
        ),
        ({"datasets": {"GAD": {"finetuning": {"patience": 2}}}}, r"GAD\.finetuning\.patience: needs best_epoch_by"),
        (
            {"datasets": {"BioASQ-7b": {"finetuning": {"best_epoch_by": "f1"}}}},
            r"best_epoch_by: 'f1' is not one of mrr",
        ),
        ({"finetuning": {"qa": {"best_epoch_by": "mrr"}}}, r"BioASQ-7b\.finetuning\.best_epoch_by: needs validation"),
        ({"finetuning": {"qa": {"grid": {"epochs": [3, 5]}}}}, r"BioASQ-7b\.finetuning\.grid: needs validation"),
        ({"finetuning": {"ner": {"grid": {"epoch": [3]}}}}, r"finetuning\.ner\.grid: unknown key `epoch`"),
        ({"finetuning": {"ner": {"grid": {"epochs": []}}}}, r"finetuning\.ner\.grid\.epochs"),
        ({"datasets": {"GAD": {"finetuning": {"class_weights": [1, 2, 3]}}}}, r"3 weights for 2 labels"),
        ({"datasets": {"GAD": {"finetuning": {"class_weights": "even"}}}}, r"GAD\.finetuning\.class_weights"),
    ],
)
def test_refusals_name_the_key(change: dict, message: str) -> None:
    with pytest.raises(UserError) as refused:
        load_settings(paper(**change), {"biobert_datasets", "chemprot"}, {"corpus", "pretrain_model"})
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


def test_a_relative_mirror_stays_relative() -> None:
    """A checkout copied elsewhere has the same parameters, and nothing is made again."""
    config = load_settings(read("demo.yaml"))
    assert config["corpus"]["baseline"]["base_url"] == "file://results/demo/miniature/pubmed/baseline/"
    assert config["checkpoints"]["biobert-v1.2"]["path"] == "results/demo/miniature/checkpoints/biobert"


def test_files_are_merged_as_snakemake_does(tmp_path: Path) -> None:
    assert read_configuration([CONFIG / "demo.yaml", CONFIG / "sound.yaml"]) == read("demo.yaml", "sound.yaml")
    (tmp_path / "list.yaml").write_text("- models")
    with pytest.raises(UserError, match=r"list\.yaml is not a mapping of keys"):
        read_configuration([tmp_path / "list.yaml"])
