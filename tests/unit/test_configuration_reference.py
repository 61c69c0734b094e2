"""Each key of a configuration says what it means: to the page of keys, and to editors, which read the schema alone."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from helpers.configurations import CONFIG

from compactbio.architectures import ARCHITECTURES
from compactbio.settings.load import read_configuration
from compactbio.settings.reference import configuration_reference, form_in_words, keys_of
from compactbio.settings.schema import whole_schema

SHIPPED = sorted(path for path in CONFIG.rglob("*.yaml") if path.name != "schema.yaml")


def whole() -> dict[str, Any]:
    return whole_schema(CONFIG / "schema.yaml")


def alone() -> dict[str, Any]:
    """Return the schema as an editor reads it."""
    return yaml.safe_load((CONFIG / "schema.yaml").read_text())


def without_meaning(schema: dict[str, Any]) -> list[str]:
    """Return the keys of a schema that have no description, or one that is no sentence."""
    sentence = re.compile(r"[A-Zn].*\.", re.DOTALL)
    return [".".join(key.path) for key in keys_of(schema) if not sentence.fullmatch(key.description or "")]


def test_every_key_has_a_description() -> None:
    assert len(list(keys_of(whole()))) > 200
    assert without_meaning(whole()) == []


def test_a_key_without_one_is_found_wherever_it_stands() -> None:
    schema = whole()
    schema["properties"]["run"]["properties"]["own"] = {"type": "integer"}
    schema["properties"]["models"]["additionalProperties"]["properties"]["own"] = {"$ref": "#/$defs/quirk"}
    del schema["$defs"]["hub"]["properties"]["revision"]["description"]
    del schema["$defs"]["optimizer"]["allOf"][-1]["then"]["properties"]["momentum"]["description"]
    found = without_meaning(schema)
    assert {
        "run.own",
        "models.NAME.own",
        "models.NAME.hub.revision",
        "pretraining.optimisation.optimizer.momentum",
    } <= {*found}


def test_every_key_of_the_paper_is_on_the_page_with_its_value() -> None:
    paper = read_configuration([])
    page = configuration_reference(whole(), paper)
    for block in ("run", "quirks", "corpus", "pretraining", "reporting"):
        section = page.partition(f"### `{block}`")[2].partition("\n### ")[0]
        assert {key for key in paper[block] if f"| `{key}` |" not in section} == set()
    assert "| `global_batch_size` |" not in page
    assert "| `optimisation.global_batch_size` | whole number from 1 | `192` |" in page
    epochs = "ner, qa: `5`; re: `3`; classification, multilabel: `10`; regression: `30`"
    assert f"| `KIND.epochs` | whole number from 1 | {epochs} |" in page
    assert "| `NAME.hub` | as `checkpoints.NAME.hub` |" in page
    architectures = " or ".join(f"`{name}`" for name in (*ARCHITECTURES, "auto"))
    assert f"| `NAME.architecture` | {architectures}, needed |" in page


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"type": ["integer", "null"], "minimum": 1, "maximum": 9}, "whole number from 1 to 9 or null"),
        ({"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}}, "list of numbers above 0"),
        ({"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "string"}}, "2 texts"),
        ({"anyOf": [{"type": "null"}, {"title": "path", "type": "string"}]}, "null or path"),
        ({"enum": ["a", None]}, "`a` or `null`"),
    ],
)
def test_forms_are_told_in_words(form: dict[str, Any], words: str) -> None:
    assert form_in_words(form) == words


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_editors_find_no_fault_in_what_is_shipped(path: Path) -> None:
    """A file that is merged over another is not whole, and what the registries add is not known there."""
    text = path.read_text()
    [schema] = re.findall(r"\A# yaml-language-server: \$schema=(\S+)\n", text)
    assert (path.parent / schema).resolve() == CONFIG / "schema.yaml"
    validator = jsonschema.Draft202012Validator(alone())
    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []


def test_editors_find_a_misspelt_key() -> None:
    config = deepcopy(read_configuration([]))
    config["models"]["TinyBERT"]["sauce"] = "hub"
    [error] = jsonschema.Draft202012Validator(alone()).iter_errors(config)
    assert list(error.absolute_path) == ["models", "TinyBERT"]
    assert "sauce" in error.message
