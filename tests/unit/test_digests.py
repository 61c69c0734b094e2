"""Files are compared with their records once after a change, whatever is remembered of them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from pathlib import Path

import pytest

from compactbio import digests
from compactbio.digests import MEMORY, Recorded, compare, require_same
from compactbio.errors import UserError
from compactbio.files import read_manifest, require_recorded, write_json, write_manifest
from compactbio.provenance import gather_provenance, require_written


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """What was written a moment ago is remembered too."""
    monkeypatch.setattr(digests, "SETTLED_SECONDS", -60.0)


@pytest.fixture
def hashed(monkeypatch) -> list[str]:
    """The names of the files that are read, in order."""
    names: list[str] = []
    digest = digests._Work.digest
    monkeypatch.setattr(
        digests._Work, "digest", lambda self, file: (names.append(file.path.name), digest(self, file))[1]
    )
    return names


def recorded(path: Path, content: bytes, algorithm: str = "sha256") -> Recorded:
    digest = hashlib.new(algorithm, content).hexdigest()
    return Recorded(path, digest, path.with_name("record.json"), "delete it", algorithm)


def write(path: Path, content: bytes) -> Recorded:
    path.write_bytes(content)
    return recorded(path, content)


def test_a_file_is_hashed_once_and_again_when_anything_of_it_changed(tmp_path, hashed):
    file = write(tmp_path / "ids.npy", b"sound")
    for _ in range(3):
        require_same([file])
    assert hashed == ["ids.npy"]
    times = file.path.stat()
    file.path.write_bytes(b"sounD")
    os.utime(file.path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a copy that keeps times: the inode's tell
    with pytest.raises(UserError, match=r"ids\.npy differs from its digest in .*record\.json .*: delete it"):
        require_same([file])
    assert hashed == ["ids.npy"] * 2
    with pytest.raises(UserError, match="differs"):
        require_same([file])  # remembered as it is, not as it should be
    assert hashed == ["ids.npy"] * 2
    moved = file.path.rename(tmp_path / "other.npy")
    moved.write_bytes(b"sound")
    (tmp_path / "ids.npy").write_bytes(b"sound")  # another inode
    require_same([file])
    assert len(hashed) == 3


def test_what_was_changed_a_moment_ago_is_not_remembered(tmp_path, hashed, monkeypatch):
    monkeypatch.setattr(digests, "SETTLED_SECONDS", 60.0)
    file = write(tmp_path / "a", b"1")
    for _ in range(2):
        require_same([file])
    assert hashed == ["a", "a"]
    assert not (tmp_path / MEMORY).exists()


def test_verify_reads_every_file_once_more_and_only_once(tmp_path, hashed, monkeypatch):
    monkeypatch.setattr(digests, "_verify", digests._Switch())
    file = write(tmp_path / "a", b"1")
    require_same([file])
    digests.leave_memory_aside()
    for _ in range(2):
        require_same([file])
    assert hashed == ["a", "a"]


@pytest.mark.parametrize("content", [b"", b"[]", b"[" * 100_000, b'{"a": 1}', b'{"a": ["x"]}', b"\xff", b'{"a": null}'])
def test_a_damaged_memory_is_no_memory(tmp_path, hashed, content):
    file = write(tmp_path / "a", b"1")
    (tmp_path / MEMORY).write_bytes(content)
    for _ in range(2):
        require_same([file])
    assert hashed == ["a"]


def test_a_folder_that_cannot_be_written_to_is_remembered_in_the_users_cache(tmp_path, hashed, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make = tempfile.mkstemp

    def refuse(*, dir: Path, **options: str) -> tuple[int, str]:
        if dir == tmp_path / "data":
            raise OSError(30, "Read-only file system")
        return make(dir=dir, **options)

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    (tmp_path / "data").mkdir()
    file = write(tmp_path / "data" / "a", b"1")
    for _ in range(2):
        require_same([file])
    assert hashed == ["a"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["a"]
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")  # nowhere at all
    for _ in range(2):
        require_same([file])
    assert hashed == ["a"] * 3


def test_jobs_at_once_lose_no_more_than_entries(tmp_path):
    files = [write(tmp_path / str(number), bytes([number])) for number in range(16)]
    failures: list[BaseException] = []

    def check(some: list[Recorded]) -> None:
        try:
            for file in some * 5:
                require_same([file])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=check, args=(files[start:] + files[:start],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert set(json.loads((tmp_path / MEMORY).read_bytes())) <= {file.path.name for file in files}
    assert not list(tmp_path.glob("*.partial"))


def test_every_fault_is_named_with_what_to_do(tmp_path):
    file = write(tmp_path / "a", b"1")
    short = Recorded(file.path, file.digest, file.record, "fetch it", bytes=9)
    gone = recorded(tmp_path / "gone", b"")
    texts = [str(fault) for fault in compare([file, short, gone, Recorded(tmp_path, "x", file.record, "look")]).faults]
    assert texts == [
        f"{file.path} has 1 bytes where {file.record} says 9: fetch it",
        f"{gone.path} is missing, though {file.record} lists it: delete it",
        f"{tmp_path} cannot be read (Is a directory): look",
    ]


def test_other_digests_and_many_large_files_in_threads(tmp_path, monkeypatch):
    content = b"x" * 100_000
    path = tmp_path / "blob"
    path.write_bytes(content)
    git = hashlib.sha1(b"blob 100000\0" + content, usedforsecurity=False).hexdigest()  # as `git hash-object` gives it
    files = [recorded(path, content, "md5"), Recorded(path, git, path, "fetch it", "git")]
    assert not compare(files).faults
    monkeypatch.setattr(digests, "SHORT_BYTES", 1)
    many = [write(tmp_path / str(number), content + bytes([number])) for number in range(9)]
    many[4].path.write_bytes(content + b"!")
    found = compare(many)
    assert [fault.file for fault in found.faults] == [many[4]]
    assert (found.files, found.bytes) == (9, 9 * 100_001)


def test_long_hashing_says_how_far_it_is(tmp_path, monkeypatch, caplog):
    for name, value in (("SHORT_BYTES", 1), ("LONG_BYTES", 1), ("PROGRESS_SECONDS", 0.0)):
        monkeypatch.setattr(digests, name, value)
    with caplog.at_level("INFO"):
        require_same([write(tmp_path / str(number), b"x" * 1000) for number in range(3)])
    assert caplog.messages[0] == "comparing 3 files, 0.0 GB, with their recorded digests"
    assert all(message.endswith("GB/s") for message in caplog.messages[1:]) and len(caplog.messages) > 1


def test_of_several_processes_the_first_compares(tmp_path, monkeypatch, hashed):
    file = write(tmp_path / "a", b"1")
    monkeypatch.setenv("RANK", "1")
    require_same([file])
    assert not hashed
    monkeypatch.setenv("RANK", "0")
    require_same([file])
    assert hashed == ["a"]


def test_a_changed_manifest_and_files_beside_it(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    write_manifest(tmp_path, max_length=256)
    read_manifest(tmp_path)
    path = tmp_path / "manifest.json"
    sound = path.read_text()
    path.write_text(sound.replace(": 256", ": 257"))
    with pytest.raises(UserError, match=r"manifest\.json is not as it was written: delete"):
        read_manifest(tmp_path)
    path.write_text(json.dumps({key: value for key, value in json.loads(sound).items() if key != "seal"}))
    assert MEMORY not in read_manifest(tmp_path)["files"]  # an older version's manifest
    (tmp_path / "a").write_bytes(b"2")
    require_recorded(tmp_path, ("b",))
    with pytest.raises(UserError, match="differs"):
        require_recorded(tmp_path, ("a",))
    path.unlink()
    require_recorded(tmp_path)  # a user's own folder


def test_results_are_compared_with_the_provenance_beside_them(tmp_path):
    path = tmp_path / "scores.tsv"
    path.write_bytes(b"1")
    require_written(path)  # a user's own
    outputs = {path.name: hashlib.sha256(b"1").hexdigest(), "manifest.json": "of a folder"}
    write_json(tmp_path / "provenance.json", gather_provenance({}, 1.0, outputs=outputs))
    require_written(path, tmp_path / "other.tsv")
    path.write_bytes(b"2")
    with pytest.raises(UserError, match=r"scores\.tsv differs .*provenance\.json .*: delete .*scores\.tsv and run"):
        require_written(path)
