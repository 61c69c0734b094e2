"""measure_training.py on a model of the miniature: what it keeps and says. No time is asserted."""

from __future__ import annotations

import sys
from pathlib import Path

import measure_training
import pytest
from helpers.configurations import CONFIG, read

from compactbio.cluster import timings
from compactbio.errors import UserError
from compactbio.files import read_json, write_json


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    options = ("--configfile", CONFIG / "demo.yaml", *arguments)
    monkeypatch.setattr(sys, "argv", ["measure_training.py", *map(str, options)])
    measure_training.main()


@pytest.mark.slow
def test_steps_of_a_student_and_its_teacher_are_timed(tmp_path, monkeypatch, capsys) -> None:
    """From sizes alone: neither the one nor the other is there."""
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "trainings.json"
    write_json(output, {"other": 1})
    call(monkeypatch, "--models", "TinyBioBERT", "--output", output)
    kept = read_json(output)
    assert kept["other"] == 1
    trial = kept["TinyBioBERT"]
    assert 0 < trial["seconds_per_step"] < 600 and trial["peak_memory_mb"] > 100
    assert trial["settings"]["objective"] == read("demo.yaml")["models"]["TinyBioBERT"]["objective"]
    assert set(timings.read_timings(read("demo.yaml"), ["TinyBioBERT"], output)) == {"TinyBioBERT"}
    row, total = capsys.readouterr().out.splitlines()
    assert row.startswith("hours TinyBioBERT") and " 40 steps of " in row
    assert "ready after" in total


@pytest.mark.slow
def test_sizes_that_only_the_checkpoint_knows_are_said(tmp_path, monkeypatch) -> None:
    """The miniature's MobileBERT differs from the real one in more than its configuration states."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^BioMobileBERT: its sizes are not all known before"):
        call(monkeypatch, "--models", "BioMobileBERT", "--output", tmp_path / "trainings.json")


def test_a_model_that_is_not_trained_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--models: MobileBERT is not trained; choose from DistilBioBERT"):
        call(monkeypatch, "--models", "MobileBERT", "--output", tmp_path / "trainings.json")
