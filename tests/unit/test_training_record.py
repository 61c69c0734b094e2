"""training.json says where a training's last checkpoint lies, also after the results were renamed or moved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compactbio.files import write_json
from compactbio.pretraining.training_record import TrainingRecord, read_training_record, write_training_record
from compactbio.settings.results import Results

FINGERPRINT = "f" * 64
STEP = "step-00000006"


def trained(results: Path) -> tuple[Path, TrainingRecord]:
    """Write a checkpoint and metrics into a tree of results; return where its record belongs, and the record."""
    run = Results(results).checkpoints.pretraining("Small") / FINGERPRINT
    (run / STEP).mkdir(parents=True)
    (run / "metrics.jsonl").touch()
    record: TrainingRecord = {
        "model": "Small",
        "fingerprint": FINGERPRINT,
        "step": 6,
        "total_steps": 6,
        "checkpoint": str(run / STEP),
        "metrics": str(run / "metrics.jsonl"),
        "seconds": 1.0,
        "loss_first": 4.9,
        "loss_last": 4.4,
    }
    return Results(results).pretraining("Small").training, record


def in_older_form(path: Path, record: TrainingRecord) -> None:
    """Write a record as earlier versions did: its paths begin at the working directory."""
    write_json(path, record)


@pytest.mark.parametrize("write", [write_training_record, in_older_form])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_record_is_read_where_it_was_written_and_after_its_results_were_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write, absolute: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    before, after = Path("results"), Path("elsewhere/renamed")
    if absolute:
        before, after = before.absolute(), after.absolute()
    path, record = trained(before)
    write(path, record)
    assert {**read_training_record(path)} == record
    after.parent.mkdir()
    before.rename(after)
    moved = read_training_record(Results(after).pretraining("Small").training)
    run = Results(after).checkpoints.pretraining("Small") / FINGERPRINT
    assert (moved["checkpoint"], moved["metrics"]) == (str(run / STEP), str(run / "metrics.jsonl"))


def test_a_record_names_no_folder_outside_of_the_results(tmp_path: Path) -> None:
    path, record = trained(tmp_path / "results")
    write_training_record(path, record)
    assert str(tmp_path) not in path.read_text()
    run = Results(tmp_path / "results").checkpoints.pretraining("Small") / FINGERPRINT
    write_training_record(run / "training.json", record)  # what stands beside the checkpoint
    assert json.loads((run / "training.json").read_text())["checkpoint"] == STEP
    assert read_training_record(run / "training.json") == record


def test_checkpoints_may_lie_on_another_disk(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "results" / "pretraining").symlink_to(tmp_path / "scratch")
    path, record = trained(tmp_path / "results")
    write_training_record(path, record)
    assert read_training_record(path) == record


def test_a_checkpoint_that_is_gone_is_named(tmp_path: Path) -> None:
    path, record = trained(tmp_path / "results")
    write_training_record(path, record)
    Path(record["checkpoint"]).rmdir()
    assert read_training_record(path)["checkpoint"] == record["checkpoint"]
