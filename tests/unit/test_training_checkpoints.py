"""Checkpoints: torn ones skipped, old ones pruned, a full disk keeps what was there."""

from __future__ import annotations

import json
import logging
import shutil
from collections import namedtuple

import pytest
import torch

from compactbio.errors import UserError
from compactbio.locks import try_lock
from compactbio.training.checkpoints import CheckpointFolder, read_arrays


def trained(seed=0):
    torch.manual_seed(seed)
    module = torch.nn.Linear(4, 3)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    module(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    return module, optimizer


def test_saved_state_comes_back(tmp_path):
    module, optimizer = trained()
    folder = CheckpointFolder(tmp_path / "run")
    saved = folder.save(7, module, optimizer, {"note": [1, "two"]})
    other, other_optimizer = trained(seed=1)
    step, states, extra = folder.restore(saved, other)
    other_optimizer.load_state_dict(states["optimizer"])
    assert (step, extra, states["scaler"]) == (7, {"note": [1, "two"]}, None)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(module.parameters(), other.parameters(), strict=True))
    for ours, theirs in zip(optimizer.state.values(), other_optimizer.state.values(), strict=True):
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert read_arrays(saved)[0].keys() == {"weight", "bias"}


def test_the_newest_two_stay(tmp_path):
    folder = CheckpointFolder(tmp_path)
    assert folder.latest() is None
    for step in (5, 10, 15, 100):
        folder.save(step, *trained())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000015", "step-00000100"]
    assert folder.latest_step() == 100


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "manifest", "empty"])
def test_a_torn_checkpoint_is_never_taken(tmp_path, damage, caplog):
    folder = CheckpointFolder(tmp_path)
    good, bad = folder.save(5, *trained()), folder.save(10, *trained())
    weights = bad / "model.safetensors"
    if damage == "flip":
        content = bytearray(weights.read_bytes())
        content[-3] ^= 1
        weights.write_bytes(content)
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "remove":
        weights.unlink()
    elif damage == "manifest":
        (bad / "manifest.json").write_text('{"files": {}')
    else:
        shutil.rmtree(bad)
        bad.mkdir()
    with caplog.at_level(logging.WARNING):
        assert folder.latest() == good
    assert "step-00000010" in caplog.text


def test_what_a_killed_save_left_is_removed(tmp_path):
    folder = CheckpointFolder(tmp_path)
    left = tmp_path / ".step-00000004.elsewhere.1.1.abcdefgh.temporary"  # of another host, a moment ago
    left.mkdir()
    folder.save(5, *trained())
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]


def test_locks_that_nobody_holds_go_with_what_a_killed_save_left(tmp_path):
    abandoned, held = (tmp_path / f".step-0000000{step}.lock" for step in (1, 2))
    abandoned.write_text("on a host that is no more\n")
    (tmp_path / ".other.lock").touch()
    lock = try_lock(held)
    assert lock is not None
    CheckpointFolder(tmp_path).clear_up()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.lock", held.name]
    lock.release()


def test_no_room_is_seen_before_writing(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path)
    folder.save(5, *trained())
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000, 990, 10))
    with pytest.raises(UserError, match=r"step 10 could not be written.*free disk space.*step-00000005"):
        folder.save(10, *trained())
    assert folder.latest_step() == 5


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed writing file data/0")]
)
def test_a_disk_that_fills_up_while_writing_keeps_the_previous_one(tmp_path, monkeypatch, error):
    folder = CheckpointFolder(tmp_path)
    folder.save(5, *trained())

    def full(states, path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="quota"):
        folder.save(10, *trained())
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]
    assert folder.latest_step() == 5


def test_optimizer_states_are_read_as_data_not_as_code(tmp_path):
    folder = CheckpointFolder(tmp_path)
    saved = folder.save(5, *trained())

    class Harmful:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"optimizer": Harmful(), "scaler": None}, saved / "optimizer.pt")
    with pytest.raises(Exception, match=r"[Ww]eights.only|Unsupported"):
        folder.restore(saved, trained()[0])


def test_state_is_read_as_written(tmp_path):
    folder = CheckpointFolder(tmp_path)
    assert folder.read_state() == {}
    folder.write_state({"step": 3, "finished": False})
    assert json.loads((tmp_path / "state.json").read_text()) == folder.read_state() == {"step": 3, "finished": False}
