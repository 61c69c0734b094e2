"""A full card says what configuration, sources and manifests say; the rest is said to be not known."""

from __future__ import annotations

from copy import deepcopy
from importlib.metadata import PackageMetadata, metadata
from pathlib import Path
from typing import Any

import pytest
from helpers import provenance as chain
from huggingface_hub import ModelCard

from compactbio.files import write_json
from compactbio.publishing.cards import full_card
from compactbio.publishing.citations import citations_document, installed_packages, licence_of
from compactbio.publishing.scores import ModelScores
from compactbio.publishing.sources import fetched_commits, used_sources
from compactbio.reporting.render import to_markdown
from compactbio.reporting.score_cells import Cell
from compactbio.settings.results import Results

PLACE = "/data/users/someone/private"
OF_THE_PAPER = ("PubMed", "iomedical", "Rohanian", "paper", "medical advice", "public benchmarks")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chain.write_chain(tmp_path_factory.mktemp("chain"))


def card_of(results: Path, config: dict[str, Any], name: str, notice: str = "", **more: Any) -> ModelCard:
    table = chain.write_sources(results.parent / "sources.tsv")
    found = Results(results)
    used = used_sources(config, table, fetched_commits(config, found))
    cell = Cell("ner", "Genes", name, "standard", "f1", 61.25, 0.5, 3, None, None, "")
    scores = ModelScores({("Genes", "standard", "f1"): cell}, [])
    return ModelCard(full_card(found, name, config, used, scores, notice), ignore_metadata_errors=False)


def own_corpus() -> dict[str, Any]:
    config = deepcopy(chain.CONFIGURATION)
    config["corpus"] |= {"source": "documents", "documents": [f"{PLACE}/notes.txt.gz", f"{PLACE}/letters.jsonl"]}
    config["reporting"]["compare_with_paper"] = False
    return config


def given(source: dict[str, Any]) -> dict[str, Any]:
    """A configuration with a model that is taken as it is."""
    config = deepcopy(chain.CONFIGURATION)
    config["run"]["models"] = ["Given"]
    config["models"]["Given"] = {"architecture": "bert", "tokenizer": "cased", **source}
    return config


def test_a_model_of_ones_own_texts_claims_nothing_of_pubmed(results: Path) -> None:
    card = card_of(results, own_corpus(), chain.MODEL)
    for word in (*OF_THE_PAPER, PLACE, "/data"):
        assert word not in card.content, word
    assert "Own files (notes.txt.gz, letters.jsonl): 10 texts, 100 tokens" in card.text
    assert "- own file notes.txt.gz: licence not stated" in card.text
    assert "Language: not stated." in card.text and card.data.language is None
    assert card.data.tags == ["masked-language-modelling", "distillation"]
    assert "Someone 2019" in card.text  # the teacher's


def test_a_row_of_the_sources_says_what_ones_own_texts_are(results: Path) -> None:
    config = own_corpus()
    config["corpus"]["described_by"] = "someone/big"
    card = card_of(results, config, chain.MODEL)
    assert "- own file notes.txt.gz: MIT" in card.text
    assert card.data.language == ["en"] and "Language: en." in card.text


@pytest.mark.parametrize("source", ["hub", "path"])
def test_a_fetched_model_says_what_is_known_of_it_and_no_more(results: Path, source: str) -> None:
    definition: dict[str, Any] = {"source": "path", "path": f"{PLACE}/weights"}
    origin: dict[str, Any] = {"source": "path", "path": f"{PLACE}/weights"}
    if source == "hub":
        definition = {"source": "hub", "hub": {"repository": "owner/unknown", "revision": "main"}}
        origin = {"source": "hub", "repository": "owner/unknown", "commit": "d" * 40}
    folder = results / "students/fetched/Given"
    write_json(folder / "manifest.json", {"digest": "0", "files": {}, "mlm_head": False, "origin": origin})
    card = card_of(results, given(definition), "Given")
    for word in (*OF_THE_PAPER, PLACE, "/data"):
        assert word not in card.content, word
    assert "Not made here: fetched" in card.text and "What it has seen is not known here." in card.text
    assert "Language: not stated." in card.text and "What to cite for it is not known here." in card.text
    assert "licence not stated" in card.text and "license" not in card.data.to_dict()
    assert card.data.language is None and card.data.pipeline_tag is None  # it has no head that fills masks
    assert ("https://huggingface.co/owner/unknown" in card.text) == (source == "hub")
    assert "fine-tuned on Genes." in card.text


def test_the_paper_is_cited_for_its_models_where_they_are_compared_with_it(results: Path) -> None:
    config = deepcopy(chain.CONFIGURATION)
    config["models"]["TinyBioBERT"] = config["models"].pop(chain.MODEL)
    config["run"]["models"] = ["TinyBioBERT"]
    (results / "pretraining/TinyBioBERT").symlink_to(results / "pretraining" / chain.MODEL)
    assert "Rohanian" in card_of(results, config, "TinyBioBERT").text
    config["reporting"]["compare_with_paper"] = False
    assert "Rohanian" not in card_of(results, config, "TinyBioBERT").text


def test_what_also_stands_in_train_is_counted_not_presumed(results: Path) -> None:
    config, manifest = deepcopy(chain.CONFIGURATION), results / "tasks/Genes/manifest.json"
    before = manifest.read_text()
    try:
        write_json(manifest, {"counts": {"test": {"also_in_train": 3}}})
        assert "Test examples that also stand in train: Genes 3." in card_of(results, config, chain.MODEL).text
        write_json(manifest, {"counts": {"test": {"also_in_train": 0}}})
        assert "stand in train" not in card_of(results, config, chain.MODEL).text
    finally:
        manifest.write_text(before)


def test_a_card_of_generated_data_says_so_before_all(results: Path) -> None:
    card = card_of(results, deepcopy(chain.CONFIGURATION), chain.MODEL, notice="Generated data: not real.")
    assert card.text.split("\n\n")[1] == "> **Generated data: not real.**" and card.data.tags[0] == "generated-data"
    assert (
        card.data.eval_results is None
        and card_of(results, deepcopy(chain.CONFIGURATION), chain.MODEL).data.eval_results
    )


def test_the_list_of_sources_names_no_place_on_this_machine(results: Path) -> None:
    config = own_corpus()
    config["checkpoints"][chain.TEACHER] = {"source": "path", "path": f"{PLACE}/big"}
    config["datasets"]["Genes"] = {"task": "ner", "source": None, "folder": f"{PLACE}/genes"}
    used = used_sources(config, chain.write_sources(results.parent / "sources.tsv"), {chain.TEACHER: ""})
    text = to_markdown(citations_document(used))
    assert PLACE not in text and "own folder big" in text and "own file letters.jsonl" in text and "| Genes " in text
    copied = deepcopy(chain.CONFIGURATION)
    copied["data_urls"]["archive"] = f"file://{PLACE}/genes.tar.gz"
    copied["corpus"]["baseline"]["base_url"] = f"file://{PLACE}/pubmed/"
    used = used_sources(copied, results.parent / "sources.tsv", {chain.TEACHER: ""})
    text = to_markdown(citations_document(used))
    assert PLACE not in text and "an archive; read from a local copy" in text


def test_licences_of_packages_are_read_where_they_are_stated() -> None:
    licences = {name: licence for name, _, licence in installed_packages()}
    assert "not stated" not in licences.values()
    assert licences["torch"] == metadata("torch")["License-Expression"]  # longer than a field of other packages may be
    assert licences["accelerate"] == "Apache Software License"  # by its classifier; its field says "Apache"
    assert licences["transformers"] == "Apache 2.0 License"


class Facts(dict[str, list[str]]):
    def get_all(self, name: str, failobj: Any = None) -> Any:
        return self.get(name, failobj)


@pytest.mark.parametrize(
    ("facts", "licence"),
    [
        ({"License-Expression": ["MIT"], "License": ["BSD"]}, "MIT"),
        ({"License": ["a whole\ntext"], "Classifier": ["License :: OSI Approved :: MIT License"]}, "MIT License"),
        ({"License": ["a whole\ntext"], "Classifier": ["Topic :: Text"]}, "not stated"),
        ({"License": ["BSD"]}, "BSD"),
        ({}, "not stated"),
    ],
)
def test_one_licence_is_chosen_of_all_that_a_package_says(facts: dict[str, list[str]], licence: str) -> None:
    stated: PackageMetadata = Facts(facts)  # type: ignore[assignment]
    assert licence_of(stated) == licence
