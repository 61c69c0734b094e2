"""trace_cell.py on a whole chain and on chains that are broken or not finished."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys

import pytest
import trace_cell
from helpers import provenance as chain

from compactbio.errors import UserError


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    chain.write_chain(root)
    return root


@pytest.fixture
def results(world, tmp_path):
    """A copy of the results that a test may spoil; what was downloaded stays where it is."""
    return shutil.copytree(world / "results", tmp_path / "results")


@pytest.fixture
def trace(monkeypatch, capsys):
    def start(results, *more, model=chain.MODEL, metric="f1"):
        options = ["--task", chain.TASK, "--dataset", chain.DATASET, "--model", model, "--metric", metric]
        options += ["--protocol", "reference", "--results", str(results), *more]
        monkeypatch.setattr(sys, "argv", ["trace_cell", *options])
        try:
            trace_cell.main()
        except UserError as error:
            return capsys.readouterr().out, str(error)
        return capsys.readouterr().out, ""

    return start


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("more", [(), ("--verify",)])
def test_a_whole_chain_reaches_the_pubmed_file(world, trace, more):
    """Every station, in the order of the way back, with digests computed here."""
    results = world / "results"
    out, error = trace(results, *more)
    assert error == "" and "BROKEN" not in out and "\n- " not in out
    pretraining = json.loads((results / "pretraining/Small/provenance.json").read_text())
    stations = [
        "mean 62.5, std 17.67766952966369, 2 runs",
        "seed1: 0.5",
        "seed2: 0.75",
        "seed1: seed 1, fold 0, 8 steps",
        digest(results / "finetuning/Small/Genes/predictions.parquet"),
        "prepared dataset",
        f"genes/train.tsv: sha256 {digest(world / 'downloads/genes/genes/train.tsv')}",
        f"https://bench/genes.tar.gz: sha256 {digest(world / 'mirror/genes.tar.gz')}",
        "model Small, trained here",
        "6 steps, seed 1",
        f"fingerprint {pretraining['fingerprint']}",
        "node1 job 7, 1 process(es), 2 GPU(s): step 0 to 6, 60.0 s, finished",
        "student before training",
        "model big, fetched",
        f"commit {'c' * 40}",
        "teacher:",
        "token store",
        "10 of 12 citations kept",
        "https://nlm/baseline/pubmed26n0001.xml.gz: md5 "
        f"{hashlib.md5((world / 'mirror' / chain.PUBMED).read_bytes()).hexdigest()}, "
        f"sha256 {digest(world / 'mirror' / chain.PUBMED)}",
    ]
    place = 0
    for station in stations:
        assert station in out[place:], station
        place = out.index(station, place)


def spoil_json(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


SPOILT = {
    "finetuning/Small/Genes/predictions.parquet": "sha256 of",
    "corpus/text/0001.parquet": "sha256 of",
    "corpus/tokens/cased/0001/ids.npy": "differs from its digest",
    "pretraining/Small/model/model.safetensors": "differs from its digest",
    "students/fetched/big/model.safetensors": "differs from its digest",
    "tasks/Genes/data/train/data.arrow": "differs from its digest",
}


@pytest.mark.parametrize(("path", "message"), SPOILT.items())
def test_a_changed_byte_is_found_when_files_are_verified(results, trace, path, message):
    data = bytearray((results / path).read_bytes())
    data[0] ^= 1
    (results / path).write_bytes(bytes(data))
    assert trace(results) == (trace(results)[0], "")  # the size is the same: only digests tell
    out, error = trace(results, "--verify")
    assert "the chain is broken in" in error and message in error and path.rsplit("/", 1)[1] in error
    assert "! BROKEN" in out


def test_a_changed_score_is_found(results, trace):
    path = results / "finetuning/Small/scores.tsv"
    path.write_text(path.read_text().replace("0.75", "0.85"))
    out, error = trace(results)
    assert "mean: the table says 62.5, the scores give 67.5" in out
    assert "reporting/scores.tsv" in out and "broken in 3 places" in error


def test_a_changed_setting_no_longer_gives_the_fingerprint(results, trace):
    path = results / "pretraining/Small/run.yaml"
    path.write_text(path.read_text().replace("steps: 6", "steps: 7"))
    assert "fingerprint of" in trace(results)[1]
    path = results / "finetuning/Small/Genes/run.yaml"
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 3"))
    assert "fingerprint of run.yaml and inputs, seed1" in trace(results)[1]


def test_another_teacher_than_the_recorded_one_is_found(results, trace):
    spoil_json(results / "pretraining/Small/provenance.json", lambda value: value["inputs"].update(teacher="0" * 64))
    assert "students/fetched/big, as used" in trace(results)[0]


def test_a_baseline_file_with_another_digest_is_found(results, trace):
    listed = results / "corpus/baseline/0001.json"
    spoil_json(listed, lambda value: value["files"][0].update(sha256="0" * 64))
    assert "sha256 of pubmed26n0001.xml.gz in the shard's inputs" in trace(results)[1]


def test_a_stage_before_stands_in_the_chain_with_its_weights(results, trace):
    chain.write_stage(results, "First")
    out, error = trace(results, "--verify")
    assert error == ""
    printed = out[out.index("started from Small fine-tuned on First") :]
    assert "fine-tuning" in printed and "seed1: seed 1" in printed and "seed2" not in printed
    assert "tasks/First: digest" in printed and "pubmed26n0001.xml.gz: md5" in printed  # to the model it started from
    training = results / "finetuning/Small/First/training.json"
    spoil_json(training, lambda value: value.update(weights="0" * 64))
    assert "digest of the weights in" in trace(results)[1]
    spoil_json(training, lambda value: value.update(weights=None))
    shutil.rmtree(results / "finetuning/Small/First/model")
    out, error = trace(results)
    assert "First/model/manifest.json is not there" in out and "digest of the weights in" in error


def test_other_weights_than_those_started_from_are_found(results, trace):
    chain.write_stage(results, "First")
    spoil_json(results / "finetuning/Small/Genes/provenance.json", lambda value: value["inputs"].update(model="0" * 64))
    assert "finetuning/Small/First/model, as used: recorded 0000" in trace(results)[0]


def test_documents_of_a_users_own_are_the_end_of_the_chain(results, trace):
    def change(counts):
        counts["kind"] = "documents"
        counts["provenance"]["inputs"] = {"notes.txt": "9" * 64}

    spoil_json(results / "corpus/text/0001.counts.json", change)
    out, error = trace(results, "--verify")
    assert error == "" and f"document file notes.txt: sha256 {'9' * 64}" in out and "PubMed" not in out


@pytest.mark.parametrize(
    "gone",
    ["tables", "pretraining/Small", "corpus/tokens", "corpus/text", "students", "tasks/sources", "reporting"],
)
def test_what_is_not_there_is_said_and_no_error(results, trace, gone):
    shutil.rmtree(results / gone)
    out, error = trace(results, "--verify")
    assert error == ""
    assert "is not there" in out or "is neither in" in out


def test_results_of_an_older_version_are_followed_by_their_manifests(results, trace):
    """Without provenance.json but for trainings, as versions before it wrote them."""
    for path in results.rglob("provenance.json"):
        if path.parent.name not in ("Genes", "Small") or path.parent.parent.name == "initialised":
            path.unlink()
    spoil_json(results / "corpus/text/0001.counts.json", lambda value: value.pop("provenance"))
    spoil_json(
        results / "pretraining/Small/provenance.json", lambda value: [value.pop("recipe"), value.pop("submissions")]
    )
    out, error = trace(results, "--verify")
    assert error == "" and "pubmed26n0001.xml.gz: md5" in out and "an older version" in out


def test_a_cell_that_does_not_exist_is_refused(results, trace):
    assert "has no cell ner / Genes / Other / reference / f1" in trace(results, model="Other")[1]
    assert "there is no folder" in trace(results / "nothing")[1]
