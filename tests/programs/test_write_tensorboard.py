"""write_tensorboard.py: every number of the metrics stands in the event files, by step."""

from __future__ import annotations

import json
import struct
import sys

import pytest
import write_tensorboard
from helpers.disks import files_no_longer_than
from tensorboardX.proto.event_pb2 import Event

from compactbio.errors import UserError


def call(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["write_tensorboard.py", *map(str, arguments)])
    write_tensorboard.main()


def write_metrics(folder, *lines):
    folder.mkdir(parents=True)
    path = folder / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def events(folder) -> set[tuple[int, str, float]]:
    """The scalars in a folder's event file, read by the format's own framing: length, checksum, record, checksum."""
    [file] = folder.glob("events.*")
    data, found = file.read_bytes(), set()
    while data:
        [length] = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        found |= {(event.step, value.tag, value.simple_value) for value in event.summary.value}
        data = data[16 + length :]
    return found


def test_trainings_become_runs_with_all_their_numbers(tmp_path, monkeypatch):
    first = write_metrics(
        tmp_path / "pretraining" / "Small" / "abc",
        {"step": 1, "total_steps": 9, "loss": 2.5, "terms": {"mlm": 2.0, "logit_kl": 0.5}, "note": None},
        {"step": 5, "total_steps": 9, "loss": 1.5, "terms": {"mlm": 1.0, "logit_kl": 0.5}},
    )
    second = write_metrics(tmp_path / "pretraining" / "Other" / "abc", {"step": 3, "evaluation": {"f1": 0.5}})
    call(monkeypatch, "--output", tmp_path / "events", first, second)
    assert events(tmp_path / "events" / "Small" / "abc") == {
        (1, "loss", 2.5),
        (1, "terms/mlm", 2.0),
        (1, "terms/logit_kl", 0.5),
        (5, "loss", 1.5),
        (5, "terms/mlm", 1.0),
        (5, "terms/logit_kl", 0.5),
    }
    assert events(tmp_path / "events" / "Other" / "abc") == {(3, "evaluation/f1", 0.5)}


def test_a_single_training_and_a_missing_one(tmp_path, monkeypatch):
    path = write_metrics(tmp_path / "Small", {"step": 1, "loss": 2.0})
    call(monkeypatch, "--output", tmp_path / "events", path)
    assert events(tmp_path / "events" / "Small") == {(1, "loss", 2.0)}
    with pytest.raises(UserError, match=r"none/metrics.jsonl: no such file"):
        call(monkeypatch, "--output", tmp_path / "events", path, tmp_path / "none" / "metrics.jsonl")
    assert (tmp_path / "events" / "Small").is_dir()


def test_a_disk_that_takes_no_more_is_said_at_once(tmp_path, monkeypatch):
    path = write_metrics(tmp_path / "Small", *({"step": step, "loss": 2.0} for step in range(300)))
    with files_no_longer_than(3000), pytest.raises(OSError, match=r"File too large.*events"):
        call(monkeypatch, "--output", tmp_path / "events", path)
    assert not (tmp_path / "events").exists()
