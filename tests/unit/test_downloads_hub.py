"""The hub: what a moving revision stands for is decided once, by whoever comes first."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.hub import FakeHub, serving_hub

from compactbio.downloads import hub, hub_client
from compactbio.downloads.retries import Patience, TransferError
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
        assert hub.fetch_snapshot("owner/name", revision, tmp_path / "cache", lock) == folder


@pytest.mark.parametrize(
    ("there", "read"),
    [
        ("vocab.txt added_tokens.json special_tokens_map.json", "vocab.txt added_tokens.json"),
        ("vocab.txt tokenizer.json added_tokens.json", "vocab.txt tokenizer.json"),
        ("vocab.json merges.txt added_tokens.json", "vocab.json merges.txt added_tokens.json"),
        ("vocab.json added_tokens.json", ""),
    ],
)
def test_added_tokens_are_read_where_no_tokenizer_json_has_them(there, read):
    assert hub.tokenizer_among(there.split()) == read.split()


def test_a_cache_filled_by_hand_states_its_own_revision(tmp_path, monkeypatch):
    def unreachable(*_):
        raise TransferError("no network")

    monkeypatch.setattr(hub, "asking", unreachable)
    fill_cache(tmp_path / "cache", COMMIT, "config.json", "model.safetensors", "tokenizer.json")
    reference = tmp_path / "cache" / "models--owner--name" / "refs" / "main"
    reference.parent.mkdir()
    reference.write_text(COMMIT)
    lock = tmp_path / "revisions.lock.json"
    assert hub.fetch_snapshot("owner/name", "main", tmp_path / "cache", lock).name == COMMIT
    with pytest.raises(UserError, match="no network"):
        hub.fetch_snapshot("owner/name", "other", tmp_path / "cache", lock)


def test_failures_that_may_pass_are_tried_again_and_others_not(monkeypatch):
    monkeypatch.setattr("compactbio.downloads.retries.time.sleep", lambda _: None)
    tries = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("reset")
        return "done"

    patience = Patience(tries=3)
    assert hub.asking(flaky, "owner/name", patience) == "done"
    tries.clear()
    with pytest.raises(UserError, match=r"given up after 2 tries.*cannot be reached"):
        hub.asking(flaky, "owner/name", Patience(tries=2))
    assert len(tries) == 2
    with pytest.raises(OSError, match="No space left"):
        hub.asking(lambda: full_disk(), "owner/name", patience)


def full_disk() -> None:
    raise OSError(28, "No space left on device")


def test_a_lock_file_with_what_is_no_commit_is_named(tmp_path):
    lock = tmp_path / "revisions.lock.json"
    lock.write_text(json.dumps({"owner/name@main": "<html>"}))
    with pytest.raises(UserError, match=r"records '<html>' for owner/name@main.*remove its line"):
        hub.locked_commit("owner/name", "main", lock, forbidden)


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"api": b"<html>log in</html>"}, "malformed"),
        ({"api": b"[1, 2]"}, "malformed"),
        ({"api": b'{"id": "owner/name"}'}, "names 'None' as the commit"),
        ({"api": b'{"id": "owner/name", "sha": "../../x"}'}, "as the commit"),
        ({"headers": {"ETag": '"../../../evil"'}}, "which is no name of a file"),
        ({"headers": {"ETag": ""}}, "which is no name of a file"),
        ({"headers": {"X-Repo-Commit": "../../evil"}}, "which is no name of a file"),
        ({"headers": {"X-Repo-Commit": "e" * 40}}, "of the commit eeee"),
        ({"headers": {"X-Linked-Size": "10"}}, "malformed"),
        ({"flip": True}, "arrived damaged"),
        ({"drip": 0.05}, "bytes came in"),
    ],
    ids=["page", "list", "empty", "commit", "etag", "no-etag", "commit-path", "other-commit", "length", "flip", "drip"],
)
def test_a_hub_that_lies_is_asked_again_then_named(tmp_path, monkeypatch, lie, message):
    monkeypatch.setattr("compactbio.downloads.retries.time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(hub_client, "PATIENCE", Patience(window_seconds=0.1, window_bytes=10_000))
    published, cache, lock = tmp_path / "published", tmp_path / "cache", tmp_path / "revisions.lock.json"
    published.mkdir()
    for name, content in (("config.json", "{}"), ("pytorch_model.bin", "weights"), ("vocab.txt", "[PAD]")):
        (published / name).write_text(content)
    fake = FakeHub("owner/name", published, COMMIT)
    fake.lie = lie
    with serving_hub(fake):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", fake.url)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            fake.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        with pytest.raises(TransferError, match=f"given up after 3 tries.*{message}"):
            hub.fetch_snapshot("owner/name", "main", cache, lock, Patience(tries=3))
        if "api" in lie:
            assert not lock.exists()
        assert not list(tmp_path.rglob("*evil*"))
        fake.lie = {}
        snapshot = hub.fetch_snapshot("owner/name", "main", cache, lock, Patience(tries=3))
    for file in published.iterdir():
        assert (snapshot / file.name).read_bytes() == file.read_bytes()


def test_a_commit_that_the_hub_does_not_have_is_not_recorded(tmp_path, monkeypatch):
    answers = iter([SimpleNamespace(sha=LATER), None])

    def model_info(*_: object, **__: object) -> object:
        answer = next(answers)
        if answer is None:
            raise UserError("no revision")
        return answer

    monkeypatch.setattr(hub, "hub_api", lambda: SimpleNamespace(model_info=model_info))
    lock = tmp_path / "revisions.lock.json"
    with pytest.raises(UserError, match="no revision"):
        hub.fetch_snapshot("owner/name", "main", tmp_path / "cache", lock, Patience(tries=1))
    assert not lock.exists()
