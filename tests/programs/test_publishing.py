"""write_citations.py, write_model_cards.py and write_provenance.py on a small results folder."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import write_citations
import write_model_cards
import write_provenance
import yaml
from helpers import provenance as chain

from compactbio.errors import UserError
from compactbio.publishing.citations import bibtex
from compactbio.publishing.sources import Used, used_sources
from compactbio.settings.load import CONFIG_FOLDER, settings_of_files
from compactbio.settings.selection import fetched_names, trained_models

CONFIG = json.dumps(chain.CONFIGURATION)
RUN_CRATE = "https://w3id.org/ro/wfrun/workflow/0.5"
# RO-Crate 1.1's addresses of the terms that later versions moved; the rest is the same in the package's context.
TERMS_OF_1_1 = {
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/ComputationalWorkflow#input",
    "output": "https://bioschemas.org/ComputationalWorkflow#output",
}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The results folder after all three programs, in the order of the rules."""
    root = tmp_path_factory.mktemp("published")
    results = chain.write_chain(root)
    common = ["--config", CONFIG, "--sources", chain.write_sources(root / "sources.tsv"), "--results", results]
    with pytest.MonkeyPatch.context() as monkeypatch:
        for program in (write_citations, write_model_cards, write_provenance):
            monkeypatch.setattr(sys, "argv", [program.__name__, *map(str, common)])
            program.main()
    return results


@pytest.fixture(scope="module")
def crate(published):
    return json.loads((published / "ro-crate-metadata.json").read_text())


def entities(crate):
    return {entity["@id"]: entity for entity in crate["@graph"]}


def ids(value):
    return [one["@id"] for one in (value if isinstance(value, list) else [value])]


def test_citations_name_everything_used_with_its_terms(published):
    text = (published / "reporting/citations.md").read_text()
    for wanted in ("CC0", "Curator 2014", "terms of the corpus", "Archivist 2020", "NLM terms", "MIT", "Someone 2019"):
        assert wanted in text
    assert "courtesy of the U.S. National Library of Medicine" in text
    assert "does not reflect the most current or accurate data available from NLM" in text
    assert "baseline of 2026" in text and "c" * 40 in text  # what was fetched, not the moving revision
    assert "transformers" in text and "snakemake" in text
    assert "courtesy of the U.S. National Library" in (published / "reporting/citations.html").read_text()


def test_bibtex_holds_the_citations_as_they_stand(published):
    from pybtex.database import parse_file

    entries = parse_file(published / "reporting/citations.bib").entries
    assert len(entries) == 1 + 4
    paper = entries["rohanian2023"]
    assert [str(author) for author in paper.persons["author"]][0::3] == ["Rohanian, Omid", "Clifton, David A."]
    assert paper.fields["doi"] == "10.1093/bioinformatics/btad103"
    assert "Curator 2014" in [entry.fields.get("note") for entry in entries.values()]


def test_bibtex_escapes_texts_and_not_addresses_and_refuses_what_it_cannot_hold():
    from pybtex.database import parse_string

    source = Used("corpus", "A_B & C 5%", ("x",), "https://x.org/a_b?c=1&d=%20#f", "1", "", "Ünal, $5 {#1}")
    fields = parse_string(bibtex([source]), "bibtex").entries["a-b-c-5"].fields
    assert fields["title"] == r"A\_B \& C 5\%" and fields["note"] == r"Ünal, \$5 {\#1}"
    assert fields["howpublished"] == r"\url{https://x.org/a_b?c=1&d=%20#f}"
    with pytest.raises(UserError, match="data_sources"):
        bibtex([replace(source, citation="no { partner")])


def test_the_card_is_in_the_hubs_form_with_scores_cost_and_terms(published):
    from huggingface_hub import ModelCard

    card = ModelCard.load(published / "reporting/model_cards/Small.md")
    assert card.data.license == "other" and card.data.library_name == "transformers"
    assert card.data.base_model == "someone/big"
    assert card.data.eval_results is None  # the folder has no scores of the standard protocol
    pretraining = json.loads((published / "pretraining/Small/provenance.json").read_text())
    for wanted in (
        "| Genes | reference | – | – | 62.50 ± 17.68 | 2 |",
        "10 texts, 100 tokens",
        "Training drew 24 sequences",  # 6 steps of 4
        "60.0 s in 1 submission(s), 0.5 GPU-hours",
        "1,000 parameters (300 of them embeddings)",
        f"- ONNX int8, fine-tuned on {chain.DATASET}: file size 1.2 MB; latency 0.75 ms; "
        "F1 (reference protocol) 61.25 % on a CPU\n",
        "someone/big (" + "c" * 40 + "): MIT",
        "National Library of Medicine",
        pretraining["fingerprint"],
        "| mlm | 1.0 | - |",
        "Language: en.",
        "It has seen titles and abstracts of PubMed",
        "fine-tuned on Genes.",
    ):
        assert wanted in card.text, wanted
    assert card.data.language == ["en"] and "biomedical" in card.data.tags
    assert "Rohanian" not in card.text  # the paper has no model of this name
    assert [line for line in card.text.splitlines() if line.startswith("## ")] == [
        f"## {title}"
        for title in (
            "Intended use", "Limits", "Training data", "Scores", "Cost", "Licence", "Citation", "Provenance"
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (117_512_345, "FLOP", "117.5 MFLOP"),
        (22.5e9, "FLOP", "22.5 GFLOP"),
        (40_712_000, "bytes", "40.7 MB"),
        (1_340_000_000, "bytes", "1.3 GB"),
        (512, "bytes", "0.5 kB"),
        (5.1234, "%", "5.12 %"),  # as the tables print scores
        (12.3456, "ms", "12.35 ms"),
        (1234.5, "sequences/s", "1,234 sequences/s"),
    ],
)
def test_amounts_have_the_units_that_readers_use(value, unit, text):
    from compactbio.publishing.scores import quantity_text

    assert quantity_text(value, unit) == text


def test_scores_of_the_standard_protocol_go_into_the_index(published, tmp_path):
    from huggingface_hub import ModelCard

    from compactbio.publishing.cards import full_card
    from compactbio.publishing.scores import ModelScores
    from compactbio.reporting.score_cells import Cell
    from compactbio.settings.results import Results

    cell = Cell("ner", "Genes", chain.MODEL, "standard", "f1", 61.25, 0.5, 3, None, None, "")
    scores = ModelScores({("Genes", "standard", "f1"): cell}, [])
    path = tmp_path / "card.md"
    path.write_text(full_card(Results(published), chain.MODEL, chain.CONFIGURATION, [], scores))
    [result] = ModelCard.load(path).data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("Genes", "f1", 61.25)
    assert "mean over 3 run(s)" in result.metric_name


def test_the_crate_describes_files_where_they_lie(published, crate):
    known = entities(crate)
    files = [one for one in known.values() if "File" in one["@type"] and ":" not in one["@id"]]
    assert len(files) > 20
    for one in files:
        data = (published / one["@id"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(data).hexdigest(), one["@id"]
    model = json.loads((published / "pretraining/Small/model/manifest.json").read_text())
    assert model["digest"] in known["pretraining/Small/model/"]["identifier"]
    assert set(ids(known["./"]["hasPart"])) >= {one["@id"] for one in files}
    assert yaml.safe_load((published / "reporting/configuration.yaml").read_text()) == chain.CONFIGURATION


def test_the_crate_tells_the_run(published, crate):
    known = entities(crate)
    action = known["#run"]
    assert action["@type"] == "CreateAction" and ids(action["instrument"]) == ["workflow/Snakefile"]
    assert action["startTime"] <= "2026-01-01T00:00:00+00:00" < action["endTime"]  # the first submission began then
    assert {
        "reporting/configuration.yaml",
        "https://nlm/baseline/",
        "https://hub/someone/big/",
        "https://bench/genes.tar.gz",
    } <= set(ids(action["object"]))
    assert {"tables/ner.csv", "finetuning/Small/scores.tsv", "pretraining/Small/model/"} <= set(ids(action["result"]))
    assert known["https://nlm/baseline/"]["license"] == "NLM terms"
    assert known[ids(action["agent"])[0]]["name"]
    software = [known[one] for one in ids(known["workflow/Snakefile"]["softwareRequirements"])]
    assert {"torch", "transformers", "snakemake"} <= {one["name"] for one in software}
    assert all(one["softwareVersion"] for one in software)
    for name in ("Snakefile", "rules/corpus.smk", "scripts/trace_cell.py", "config/config.yaml"):
        assert (published / "workflow" / name).is_file()
    assert not list((published / "workflow").rglob("__pycache__"))


def test_the_crate_is_a_workflow_run_crate(published, monkeypatch):
    """By the validator of the profiles' authors; the one address that it needs is answered here."""
    import requests
    import rocrate
    from rocrate_validator import models, services
    from rocrate_validator.utils.http import HttpRequester

    context = json.loads((Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text())
    context["@context"] |= TERMS_OF_1_1

    def answer(_requester, _method):
        def call(url, *_arguments, **_options):
            response = requests.Response()
            response.url, response.status_code = url, 504
            if url == "https://w3id.org/ro/crate/1.1/context":
                response.status_code, response._content = 200, json.dumps(context).encode()
                response.headers["Content-Type"] = "application/ld+json"
            return response

        return call

    monkeypatch.setattr(HttpRequester, "__getattr__", answer)
    settings = services.ValidationSettings(
        rocrate_uri=str(published),
        profile_identifier="workflow-run-crate",
        requirement_severity=models.Severity.REQUIRED,
        offline=True,
        cache_path=published.parent / "validator-cache",
        skip_availability_check=True,
    )
    result = services.validate(settings)
    assert [f"{issue.message} {issue.violatingEntity}" for issue in result.get_issues()] == []
    profiles = {check.requirement.profile.identifier for check in result.executed_checks}
    assert any(name.startswith("workflow-run-crate") for name in profiles), profiles

    metadata = published / "ro-crate-metadata.json"
    whole = metadata.read_text()
    metadata.write_text(whole.replace(RUN_CRATE, "https://example.org/another"))
    try:
        assert not services.validate(settings).passed()  # the validator can tell
    finally:
        metadata.write_text(whole)


@pytest.mark.parametrize(
    "name",
    [
        *("released.yaml", "sound.yaml", "demo.yaml", "demo_more.yaml"),
        *("examples/own_data.yaml", "examples/own_corpus.yaml"),
    ],
)
def test_every_dataset_and_checkpoint_of_a_configuration_is_listed(name):
    config = settings_of_files([CONFIG_FOLDER / name])
    fetched = dict.fromkeys(fetched_names(config), "")
    trained = trained_models(config)
    used = used_sources(config, CONFIG_FOLDER / "data_sources.tsv", fetched)
    named = {one for source in used for one in source.used_for}
    assert named >= {*config["run"]["datasets"], *fetched}
    assert ("pre-training" in named) == bool(trained)
    shipped = [one for one in used if one.url.startswith("https://huggingface.co/")]
    assert all(one.licence and one.citation for one in shipped)  # each has its row
