"""A dataset whose fine-tuning starts from another one's: what is fine-tuned, kept, counted, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.configurations import CONFIG, read

from compactbio.cluster import storage
from compactbio.cluster.status import trainings
from compactbio.errors import UserError
from compactbio.publishing.sources import used_sources
from compactbio.settings.load import load_settings, merge
from compactbio.settings.names import cycles
from compactbio.settings.runs import finetuning_run
from compactbio.settings.selection import finetuned_datasets, kept_weights
from compactbio.students.parameters import estimated_parameters

AFTER = "BioASQ-7b-after-SQuAD"


def paper(**changes: object) -> dict:
    return load_settings(merge(read(), changes))


def squad_stage() -> dict:
    return load_settings(read("released.yaml", "examples/squad_stage.yaml"))


def starting_from(**stages: str) -> dict:
    """Return `datasets` in which each named dataset starts from another."""
    return {name.replace("_", "-"): {"finetuning": {"starts_from": stage}} for name, stage in stages.items()}


def test_the_paper_has_no_stage() -> None:
    config = paper()
    assert finetuned_datasets(config) == config["run"]["datasets"]
    assert not any("starts_from" in finetuning_run(config, "TinyBERT", name) for name in config["run"]["datasets"])


def test_a_dataset_that_others_only_start_from_has_its_first_run() -> None:
    config = squad_stage()
    assert finetuned_datasets(config) == ["BioASQ-7b", AFTER, "SQuAD"] and kept_weights(config) == {"SQuAD"}
    before, after = (finetuning_run(config, "TinyBioBERT", dataset) for dataset in ("SQuAD", AFTER))
    assert [run["run"] for run in before["runs"]] == ["seed42"] and before["keep_weights"]
    assert [run["run"] for run in after["runs"]] == ["seed42", "seed43", "seed44"] and after["starts_from"] == "SQuAD"
    assert (before["hyperparameters"]["epochs"], before["hyperparameters"]["batch_size"]) == (2, 12)
    plain = finetuning_run(config, "TinyBioBERT", "BioASQ-7b")
    assert {**after, "dataset": "BioASQ-7b"} == {**plain, "starts_from": "SQuAD"}  # nothing else differs
    both = load_settings(merge(config, {"run": {"datasets": ["SQuAD", AFTER]}}))
    assert len(finetuning_run(both, "TinyBioBERT", "SQuAD")["runs"]) == 3


def test_a_stage_may_have_one_before_it() -> None:
    config = paper(run={"datasets": ["BC2GM"]}, datasets=starting_from(BC2GM="JNLPBA", JNLPBA="NCBI-disease"))
    assert finetuned_datasets(config) == ["BC2GM", "JNLPBA", "NCBI-disease"]
    assert kept_weights(config) == {"JNLPBA", "NCBI-disease"}
    unset = load_settings(merge(config, {"datasets": starting_from(JNLPBA=None)}))
    assert finetuned_datasets(unset) == ["BC2GM", "JNLPBA"]


def test_weights_are_kept_where_that_is_asked_for() -> None:
    config = paper(run={"keep_weights": ["GAD"]})
    assert finetuning_run(config, "TinyBERT", "GAD")["keep_weights"] is True
    assert "keep_weights" not in finetuning_run(config, "TinyBERT", "BC2GM")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": {"keep_weights": ["GADD"]}}, r"run\.keep_weights: `GADD` is not defined; known: .*GAD"),
        ({"run": {"keep_weights": ["SQuAD"]}}, r"run\.keep_weights: `SQuAD` is not in run\.datasets"),
        ({"datasets": starting_from(BC2GM="NCBI")}, r"datasets\.BC2GM\.finetuning\.starts_from: `NCBI` is not defined"),
        (
            {"datasets": starting_from(BioASQ_7b="GAD")},
            r"BioASQ-7b\.finetuning\.starts_from: `GAD` is a dataset of re, BioASQ-7b one of qa",
        ),
        ({"datasets": starting_from(GAD="ChemProt")}, r"GAD\.finetuning\.starts_from: `ChemProt` has other labels"),
        ({"datasets": starting_from(BC2GM="BC2GM")}, r"BC2GM\.finetuning\.starts_from: a cycle \(BC2GM -> BC2GM\)"),
        (
            {"datasets": starting_from(BC2GM="JNLPBA", JNLPBA="BC5CDR-chem", BC5CDR_chem="BC2GM")},
            r"starts_from: a cycle \(BC5CDR-chem -> BC2GM -> JNLPBA -> BC5CDR-chem\); break it",
        ),
        ({"finetuning": {"qa": {"starts_from": "SQuAD"}}}, r"finetuning\.qa\.starts_from: belongs in a dataset's own"),
        ({"datasets": {"GAD": {"finetuning": {"starts_from": 1}}}}, r"GAD\.finetuning\.starts_from: 1 is not of type"),
    ],
)
def test_refusals_name_the_key(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        paper(**change)


def test_every_cycle_is_found_once() -> None:
    assert list(cycles({"a": "b", "b": "c", "c": None, "d": "nowhere"})) == []
    assert list(cycles({"start": "a", "a": "b", "b": "a", "c": "c"})) == [["a", "b", "a"], ["c", "c"]]


def test_what_counts_jobs_and_bytes_counts_the_stage(tmp_path: Path) -> None:
    config = squad_stage()
    models, datasets = config["run"]["models"], ["BioASQ-7b", AFTER, "SQuAD"]
    found = [(training.model, training.dataset) for training in trainings(config, [], tmp_path)]
    assert sorted(found) == sorted((model, dataset) for model in models for dataset in datasets)
    seen = []
    for changes in ({}, {"run": {"datasets": datasets}}, {"run": {"datasets": ["BioASQ-7b", "BC2GM", "SQuAD"]}}):
        needs = storage.stages(load_settings(merge(config, changes)), [])
        seen.append(next(need for need in needs if need.stage == "finetuning"))
    with_stage, stage_scored, plain = seen
    assert stage_scored.files - with_stage.files == len(models) * 2 * storage.RUN_FILES  # two runs more
    assert with_stage.bytes == stage_scored.bytes
    copies = 2 * sum(
        4 * estimated_parameters(config, model) for model in models
    )  # float32, beside checkpoints and published
    assert with_stage.bytes - plain.bytes == pytest.approx(copies)


def test_squad_is_cited_where_a_stage_reads_it() -> None:
    used = used_sources(squad_stage(), CONFIG / "data_sources.tsv", {})
    [squad] = [one for one in used if one.name == "squad"]
    assert squad.used_for == ("SQuAD",) and squad.licence == "CC BY-SA 4.0" and "Rajpurkar" in squad.citation
    assert "squad" not in {one.name for one in used_sources(paper(), CONFIG / "data_sources.tsv", {})}
