"""Values of a configuration: finite numbers, names and paths of one line, and the home folder."""

import re

import pytest
import yaml
from helpers.configurations import CONFIG, read

from compactbio.errors import UserError
from compactbio.settings.load import load_settings, merge

HUB_MODEL = {
    "source": "hub",
    "hub": {"repository": "a/b", "revision": "main"},
    "architecture": "bert",
    "tokenizer": "cased",
}


def paper(**changes: object) -> dict:
    return merge(read(), changes)


def put(value: object, *keys: str) -> dict:
    """Return a change of a configuration: a value at its keys."""
    for key in reversed(keys):
        value = {key: value}
    return value  # type: ignore[return-value]


@pytest.mark.parametrize(
    "keys",
    [
        ("pretraining", "optimisation", "peak_learning_rate"),
        ("pretraining", "optimisation", "adam_epsilon"),
        ("pretraining", "checkpoint_every_minutes"),
        ("models", "TinyBioBERT", "optimisation", "weight_decay"),
        ("finetuning", "ner", "max_gradient_norm"),
        ("corpus", "max_length"),
    ],
    ids=".".join,
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e26, 10**26])
def test_numbers_are_finite_and_of_a_size_that_can_be_meant(keys: tuple[str, ...], value: float) -> None:
    message = rf"{re.escape('.'.join(keys))}: {re.escape(str(value))} is (not finite|too large)"
    with pytest.raises(UserError, match=message):
        load_settings(paper(**put(value, *keys)))


def test_a_number_with_a_point_is_no_whole_number() -> None:
    with pytest.raises(UserError, match=r"corpus\.files_per_job: 20\.0 is no whole number; write one without a point"):
        load_settings(paper(corpus={"files_per_job": 20.0}))


def patterns(value: object) -> list[str]:
    """Return every pattern of a schema."""
    if isinstance(value, dict):
        own = [value["pattern"]] if isinstance(value.get("pattern"), str) else []
        return own + [pattern for inner in value.values() for pattern in patterns(inner)]
    return [pattern for inner in value for pattern in patterns(inner)] if isinstance(value, list) else []


def test_no_pattern_of_the_schema_admits_a_line_end() -> None:
    found = patterns(yaml.safe_load((CONFIG / "schema.yaml").read_text())["properties"])
    found += patterns(yaml.safe_load((CONFIG / "schema.yaml").read_text())["$defs"])
    assert len(found) > 6
    assert [pattern for pattern in found if "$" in pattern and not pattern.endswith(r"(?!\n)$")] == []


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("models", {"models": {"Own\n": HUB_MODEL}}),
        ("datasets", {"datasets": {"Own\n": {"task": "ner", "layout": "conll", "source": None, "folder": "x"}}}),
        ("checkpoints", {"checkpoints": {"../own": {}}}),
        ("tokenizers", {"tokenizers": {"../../..": {}}}),
        ("tokenizers", {"tokenizers": {"cased\n": {}}}),
        ("tokenizers", {"tokenizers": {7: {}}}),
        ("corpus.baseline.base_url", {"corpus": {"baseline": {"base_url": "https://host/\n"}}}),
        ("corpus.baseline.base_url", {"corpus": {"baseline": {"base_url": "ftp://host/"}}}),
        ("corpus.baseline.as_of", {"corpus": {"baseline": {"as_of": "2021-12-12\n"}}}),
        ("data_urls.chemprot", {"data_urls": {"chemprot": "https://host/a\nb"}}),
        ("checkpoints.biobert-v1.2.hub", {"checkpoints": {"biobert-v1.2": {"hub": {"repository": "a/b\n"}}}}),
        ("checkpoints.biobert-v1.2.hub", {"checkpoints": {"biobert-v1.2": {"hub": {"revision": "main\n"}}}}),
        ("results_dir", {"results_dir": "results\n"}),
        ("results_dir", {"results_dir": "results/{model}"}),
        ("downloads_dir", {"downloads_dir": "a\nb"}),
        ("mirror", {"mirror": "a\nb"}),
        ("datasets.GAD.labels", {"datasets": {"GAD": {"labels": ["0", "a\tb"]}}}),  # they are columns of score tables
        ("datasets.GAD.positive_labels", {"datasets": {"GAD": {"positive_labels": ["1\n"]}}}),
    ],
)
def test_names_and_paths_are_one_line_and_names_lead_nowhere(place: str, change: dict) -> None:
    with pytest.raises(UserError, match=re.escape(place)):
        load_settings(paper(**change))


def test_a_path_may_hold_anything_else() -> None:
    free = '/o\'neil/$(touch x) "down" `loads`; & é'
    config = load_settings(paper(results_dir=free, downloads_dir=f"{free}{{}}", corpus={"documents": [free]}))
    assert config["results_dir"] == config["corpus"]["documents"][0] == free


def test_a_tilde_is_the_home_folder_in_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/people/ann")
    config = load_settings(
        paper(
            results_dir="~/results",
            downloads_dir="~",
            mirror="~/mirror",
            corpus={"documents": ["~/a.txt", "{mirror}/b.txt"]},
            checkpoints={"biobert-v1.2": {"source": "path", "path": "~/biobert"}},
            models={"BioBERT-v1.1": {"source": "path", "path": "~/model"}},
            datasets={"GAD": {"folder": "~/gad"}},
        )
    )
    assert (config["results_dir"], config["downloads_dir"]) == ("/people/ann/results", "/people/ann")
    assert config["corpus"]["documents"] == ["/people/ann/a.txt", "/people/ann/mirror/b.txt"]
    assert config["checkpoints"]["biobert-v1.2"]["path"] == "/people/ann/biobert"
    assert config["models"]["BioBERT-v1.1"]["path"] == "/people/ann/model"
    assert config["datasets"]["GAD"]["folder"] == "/people/ann/gad"
    with pytest.raises(UserError, match=r"results_dir: ~nobody-of-this-name/x: there is no such home folder"):
        load_settings(paper(results_dir="~nobody-of-this-name/x"))
