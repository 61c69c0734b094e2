"""Records of origin: what they hold, without git too, and times summed over tries and submissions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import datetime
from types import SimpleNamespace

import pytest

from compactbio import provenance
from compactbio.files import read_manifest, write_json, write_manifest
from compactbio.finetuning.runs.workbench import earlier_tries, with_this_try
from compactbio.training.submissions import Submissions


def test_a_record_names_code_inputs_and_hardware(monkeypatch):
    monkeypatch.setattr(provenance, "gpu_count", lambda: 4)
    record = provenance.gather_provenance({"model": "def"}, 7200.0, fingerprint="abc", seeds=[42])
    json.dumps(record)
    assert record["fingerprint"] == "abc" and record["seeds"] == [42]
    assert record["inputs"] == {"model": "def"}
    assert record["packages"]["transformers"]
    assert record["hardware"]["cores"] >= 1
    assert record["gpu_hours"] == pytest.approx(8.0)  # two hours on four
    assert datetime.fromisoformat(record["finished"]).tzinfo is not None


def test_what_is_known_of_gpus_is_taken(monkeypatch):
    monkeypatch.setattr(provenance, "gpu_count", lambda: 4)
    assert provenance.gather_provenance({}, 7200.0, gpu_hours=1.5)["gpu_hours"] == 1.5


def test_the_record_is_no_part_of_a_folders_digest(monkeypatch, tmp_path):
    (tmp_path / "ids.npy").write_bytes(b"ids")
    before = write_manifest(tmp_path)
    monkeypatch.setattr(provenance, "gpu_count", lambda: 4)
    provenance.write_provenance(tmp_path, {"text": "abc"}, 7200.0, outputs={"manifest.json": before["digest"]})
    assert read_manifest(tmp_path) == before
    assert json.loads((tmp_path / "provenance.json").read_text())["gpu_hours"] == 0  # made beside GPUs, not on them


def fake_checkout(monkeypatch, folder):
    """Let the library believe that it lies in <folder>/scripts/compactbio."""
    module = folder / "scripts" / "compactbio" / "provenance.py"
    module.parent.mkdir(parents=True)
    module.touch()
    monkeypatch.setattr(provenance, "__file__", str(module))


def git(folder, *arguments):
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_commit_and_dirty_flag(monkeypatch, tmp_path):
    fake_checkout(monkeypatch, tmp_path)
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    clean = provenance.code_version()
    assert len(clean["commit"]) == 40 and clean["dirty"] is False
    (tmp_path / "scripts/compactbio/provenance.py").write_text("changed")
    assert provenance.code_version() == {"commit": clean["commit"], "dirty": True}


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_an_unpacked_archive_is_said(monkeypatch, tmp_path):
    fake_checkout(monkeypatch, tmp_path / "inner")
    alone = provenance.code_version()
    assert alone["commit"] is None and "not a git repository" in alone["note"]
    git(tmp_path, "init")
    inside = provenance.code_version()  # the commit of whatever lies around it is not ours
    assert inside["commit"] is None and "another project" in inside["note"]


def test_a_machine_without_git_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    record = provenance.code_version()
    assert record["commit"] is None and record["dirty"] is None and "git" in record["note"]


def test_submissions_add_up_also_where_one_was_killed(tmp_path):
    first = Submissions(tmp_path)
    first.begin(step=0, seconds=0.0)
    first.note(gpus=2)
    first.end(step=100, seconds=3600.0, reason="deadline")
    second = Submissions(tmp_path)
    second.begin(step=100, seconds=3600.0)
    second.note(gpus=4)  # killed: it never ends, but left a checkpoint at step 150 after another half an hour
    third = Submissions(tmp_path)
    third.begin(step=150, seconds=5400.0)
    third.note(gpus=1)
    third.end(step=200, seconds=9000.0, reason="finished")
    facts = [(one["from_step"], one["to_step"], one["seconds"], one["reason"]) for one in third.all]
    assert facts == [(0, 100, 3600.0, "deadline"), (100, 150, 1800.0, "killed"), (150, 200, 3600.0, "finished")]
    assert third.gpu_hours() == pytest.approx(1 * 2 + 0.5 * 4 + 1 * 1)
    assert json.loads((tmp_path / "submissions.json").read_text()) == third.all


def test_tries_of_a_run_add_up_also_where_one_was_killed(monkeypatch, tmp_path):
    monkeypatch.setattr("compactbio.finetuning.runs.workbench.gpu_count", lambda: 2)
    assert earlier_tries(tmp_path) == {"seconds": 0, "gpu_hours": 0, "tries": 0}
    write_json(tmp_path / "seconds.json", with_this_try(earlier_tries(tmp_path), 1800.0))
    assert earlier_tries(tmp_path) == {"seconds": 1800.0, "gpu_hours": 1.0, "tries": 1}
    write_json(tmp_path / "state.json", {"seconds": 5400.0})  # of a checkpoint that a killed try left
    assert earlier_tries(tmp_path) == {"seconds": 5400.0, "gpu_hours": 3.0, "tries": 2}


def test_a_process_uses_one_gpu_and_a_distributed_run_one_each(monkeypatch):
    """However many GPUs of the machine are visible."""
    names = ["A", "A", "A", "A"]
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 4, get_device_name=names.__getitem__)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert provenance.gpu_count() == 1 and provenance.hardware()["gpus"] == names
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert provenance.gpu_count() == 2
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False)))
    assert provenance.gpu_count() == 0 and provenance.hardware()["gpus"] == []
