"""Whatever is written: the next try clears up what a kill left, of two at a time one waits, a refusal is one line."""

from __future__ import annotations

import errno
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.disks import files_no_longer_than
from helpers.writers import OUT, PROGRAMS, WRITERS, Write, contents, in_child

from compactbio import logs
from compactbio.locks import locked
from compactbio.logs import run_program
from compactbio.temporaries import is_temporary


@pytest.fixture(params=WRITERS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Write, dict[str, bytes]]:
    """A writer's folder, its call and what it writes, which is there."""
    write = WRITERS[request.param](tmp_path)
    write()
    wanted = contents(tmp_path)
    assert wanted and not any(name.startswith(".") or "/." in name for name in wanted)
    return tmp_path, write, wanted


def dying(write: Write, number: int) -> Write:
    """A call that ends as by SIGKILL when it asks for the `number`-th time to store a file or to rename one."""

    def run() -> None:
        count = 0

        def counted(function: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **options: object) -> object:
                nonlocal count
                count += 1
                if count > number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return call

        os.fsync, os.replace = counted(os.fsync), counted(os.replace)  # type: ignore[assignment]
        write()

    return run


def test_what_a_kill_left_goes_with_the_next_try(written: tuple[Path, Write, dict[str, bytes]]) -> None:
    folder, write, wanted = written
    number = 0
    while (ended := os.waitpid(in_child(dying(write, number)), 0)[1]) == signal.SIGKILL:
        assert any(is_temporary(path) for path in folder.rglob("*"))  # of its output, or of what it notes of an input
        number = 2 * number + 1
    assert number and ended == 0
    assert contents(folder) == wanted
    assert not any(is_temporary(path) for path in folder.rglob("*"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_two_of_a_program_write_one_after_the_other(program: str, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    write = PROGRAMS[program](tmp_path)
    write()
    wanted = contents(tmp_path)
    capfd.readouterr()
    output = next(path for path in _folders_with_manifests(tmp_path / OUT))
    if program == "fetch_task_data":  # what is whole is not written again
        (output / "manifest.json").unlink()

    def program_alone() -> None:
        run_program(write)

    with locked(output):
        children = [in_child(program_alone) for _ in range(2)]
        printed, began = "", time.monotonic()
        while printed.count("another process writes") < 2 and time.monotonic() - began < 20:
            time.sleep(0.05)
            printed += capfd.readouterr().err
    assert printed.count(f"another process writes {output}, on ") == 2
    assert f"process {os.getpid()}, since" in printed
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert contents(tmp_path) == wanted
    assert "Traceback" not in capfd.readouterr().err


def _folders_with_manifests(folder: Path) -> Iterator[Path]:
    return (path.parent for path in sorted(folder.rglob("manifest.json")))


def refused(write: Write, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a writer as a program that ends with one line, and return the line."""
    monkeypatch.setattr(logs, "start_logging", lambda: None)
    caplog.clear()
    with pytest.raises(SystemExit) as ended, caplog.at_level(logging.ERROR):
        run_program(write)
    assert ended.value.code == 1
    (line,) = (record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR)
    assert "\n" not in line
    return line


def test_a_file_that_may_not_grow_is_one_line(
    written: tuple[Path, Write, dict[str, bytes]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, write, wanted = written
    longest = max(map(len, wanted.values()))
    with suppress(FileNotFoundError):
        for path in folder.joinpath(OUT).rglob("manifest.json"):
            path.unlink()  # else a fetch finds that all is there
    before = contents(folder)
    with files_no_longer_than(longest // 2):
        line = refused(write, caplog, monkeypatch)
    assert str(folder / OUT) in line and ".temporary" not in line
    assert os.strerror(errno.EFBIG) in line and "ulimit -f" in line
    assert contents(folder) == before
    write()
    assert contents(folder) == wanted


@pytest.mark.parametrize("code", [errno.EIO, errno.EDQUOT])
def test_a_disk_that_fails_at_the_end_is_one_line(
    written: tuple[Path, Write, dict[str, bytes]],
    code: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, write, wanted = written
    for path in folder.joinpath(OUT).rglob("manifest.json"):
        path.unlink()
    before = contents(folder)

    def fails(_: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fails)
        line = refused(write, caplog, monkeypatch)
    assert str(folder / OUT) in line and os.strerror(code) in line
    assert contents(folder) == before
    write()
    assert contents(folder) == wanted
