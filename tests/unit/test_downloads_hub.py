"""The hub: what a moving revision stands for is decided once, by whoever comes first."""

import json
import threading
from pathlib import Path

import pytest

from compactbio.downloads import hub
from compactbio.errors import UserError

COMMIT, LATER = "a" * 40, "b" * 40


def forbidden() -> str:
    raise AssertionError("the network was asked")


def test_a_commit_is_itself_and_not_recorded(tmp_path):
    lock = tmp_path / "revisions.lock.json"
    assert hub.locked_commit("owner/name", COMMIT, lock, forbidden) == COMMIT
    assert not lock.exists()


def test_a_moving_revision_is_resolved_once(tmp_path):
    lock = tmp_path / "downloads" / "revisions.lock.json"
    assert hub.locked_commit("owner/name", "main", lock, lambda: COMMIT) == COMMIT
    assert hub.locked_commit("owner/name", "main", lock, lambda: LATER) == COMMIT
    assert hub.locked_commit("owner/name", "v2", lock, lambda: LATER) == LATER
    assert json.loads(lock.read_text()) == {"owner/name@main": COMMIT, "owner/name@v2": LATER}


def test_jobs_at_the_same_time_lose_no_entry(tmp_path):
    lock = tmp_path / "revisions.lock.json"
    barrier = threading.Barrier(8)

    def job(number: int) -> None:
        barrier.wait()
        hub.locked_commit(f"owner/{number}", "main", lock, lambda: f"{number:040d}")

    threads = [threading.Thread(target=job, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads(lock.read_text()) == {f"owner/{n}@main": f"{n:040d}" for n in range(8)}


def test_a_failed_resolution_records_nothing(tmp_path):
    lock = tmp_path / "revisions.lock.json"

    def fail() -> str:
        raise UserError("no network")

    with pytest.raises(UserError):
        hub.locked_commit("owner/name", "main", lock, fail)
    assert not lock.exists()


def fill_cache(cache: Path, commit: str, *names: str) -> Path:
    folder = cache / "models--owner--name" / "snapshots" / commit
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("{}")
    return folder


def test_a_complete_cache_needs_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "_files_at", lambda *_: forbidden())
    folder = fill_cache(tmp_path / "cache", COMMIT, "config.json", "pytorch_model.bin", "vocab.txt")
    lock = tmp_path / "revisions.lock.json"
    lock.write_text(json.dumps({"owner/name@main": COMMIT}))
    for revision in ("main", COMMIT):
        snapshot = hub.fetch_snapshot("owner/name", revision, tmp_path / "cache", lock)
        assert snapshot == hub.Snapshot(folder, COMMIT)


def test_a_cache_filled_by_hand_tells_its_own_revision(tmp_path, monkeypatch):
    def unreachable(*_):
        raise hub._NetworkError("no network")

    monkeypatch.setattr(hub, "_retrying", unreachable)
    fill_cache(tmp_path / "cache", COMMIT, "config.json", "model.safetensors", "tokenizer.json")
    reference = tmp_path / "cache" / "models--owner--name" / "refs" / "main"
    reference.parent.mkdir()
    reference.write_text(COMMIT)
    lock = tmp_path / "revisions.lock.json"
    assert hub.fetch_snapshot("owner/name", "main", tmp_path / "cache", lock).commit == COMMIT
    with pytest.raises(UserError, match="no network"):
        hub.fetch_snapshot("owner/name", "other", tmp_path / "cache", lock)


def test_network_failures_are_tried_again_and_others_not(monkeypatch):
    monkeypatch.setattr(hub.time, "sleep", lambda _: None)
    tries = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("reset")
        return "done"

    assert hub._retrying(flaky, "owner/name", (0, 0)) == "done"
    tries.clear()
    with pytest.raises(UserError, match="cannot be reached"):
        hub._retrying(flaky, "owner/name", (0,))
    assert len(tries) == 2
    with pytest.raises(ZeroDivisionError):
        hub._retrying(lambda: 1 / 0, "owner/name", (0, 0))
