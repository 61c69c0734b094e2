"""One process at a time; who waits is told for whom; without locks work goes on."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from compactbio.file_errors import in_one_line
from compactbio.files import replacing_file, replacing_folder
from compactbio.locks import holder_of, is_held, lock_of, locked, try_lock


def test_a_lock_names_its_holder_and_leaves_nothing(tmp_path: Path) -> None:
    place = lock_of(tmp_path / "x")
    assert not is_held(place)
    with locked(tmp_path / "x"), locked(tmp_path / "x"):  # once more by the same thread
        assert is_held(place)
        assert f"process {os.getpid()}, since" in holder_of(place)
        assert try_lock(place) is None
    assert list(tmp_path.iterdir()) == []
    kept = try_lock(tmp_path / "lock")
    assert kept is not None and try_lock(tmp_path / "lock") is None
    kept.release()
    assert not is_held(tmp_path / "lock") and (tmp_path / "lock").is_file()
    assert holder_of(tmp_path / "nothing") == "which left no name"


def test_one_at_a_time_though_the_file_goes_with_each_holder(tmp_path: Path) -> None:
    inside, most = 0, 0

    def enter() -> None:
        nonlocal inside, most
        for _ in range(5):
            with locked(tmp_path / "x"):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_it_is_said_once_and_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", no_locks)
    for name in ("x", "y", "x"):
        with replacing_folder(tmp_path / name) as folder:
            (folder / "a").write_text("A")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "y"]
    assert caplog.text.count("without locks") == 1 and os.strerror(code) in caplog.text
    assert "space" not in caplog.text


REFUSALS = {
    errno.EROFS: "mounted read-only",
    errno.EIO: "the disk or its server",
    errno.EACCES: "give another path",
    errno.ENOSPC: "free disk space or quota",
    errno.EDQUOT: "free disk space or quota",
    errno.EMFILE: "ulimit -n",
    errno.ESTALE: "the file server",
    errno.EFBIG: "ulimit -f",
    errno.ENOENT: "start again",
}


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("call", ["os.open", "os.mkdir", "os.fsync", "os.replace"])
def test_every_refusal_names_the_output_and_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    """At each call of the two ways in which everything is written; the old output stays."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    (tmp_path / "file").write_text("old")
    real = getattr(os, call.removeprefix("os."))

    def refuse(path: object, *rest: object, **options: object) -> object:
        if isinstance(path, int) or str(tmp_path) in os.fsdecode(path):  # type: ignore[arg-type]
            raise OSError(code, os.strerror(code), *([] if isinstance(path, int) else [path]))
        return real(path, *rest, **options)

    refusals = []
    with monkeypatch.context() as patched:
        patched.setattr(call, refuse)
        for replacing in (replacing_file, replacing_folder):
            if (call, replacing) == ("os.mkdir", replacing_file):
                continue  # its folder is there
            target = tmp_path / replacing.__name__.removeprefix("replacing_")
            with pytest.raises(OSError, match=str(tmp_path)) as raised, replacing(target) as temporary:
                (temporary / "new" if temporary.is_dir() else temporary).write_text("new")
            refusals.append(raised.value)
            assert raised.value.errno == code and ".temporary" not in str(raised.value.filename)
            assert REFUSALS[code] in in_one_line(raised.value)
    assert refusals
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["old"]
    assert {path.name for path in tmp_path.iterdir()} <= {"file", "folder", ".folder.lock"}
