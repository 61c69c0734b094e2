"""A file that exists is complete, a folder equals its manifest, and a user sees one line."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers.configurations import ROOT

from compactbio.errors import UserError
from compactbio.files import (
    read_json,
    read_manifest,
    replacing_file,
    replacing_folder,
    sha256_of_value,
    write_json,
    write_manifest,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "scores.tsv"
    target.write_text("old")
    with pytest.raises(OSError, match="No space"), replacing_file(target) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/full")):
        with pytest.raises(UserError, match="is a folder, a device or a pipe"), replacing_file(path):
            raise AssertionError("never reached")
    assert list(tmp_path.iterdir()) == []
    assert Path("/dev/full").is_char_device()


def test_files_of_a_folder_are_readable_by_whom_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replacing_folder(tmp_path / "model") as temporary:
            (temporary / "model.safetensors").touch(mode=0o600)
            (temporary / "run.sh").touch(mode=0o700)
            (temporary / "link").symlink_to(tmp_path / "elsewhere")
    finally:
        os.umask(before)
    modes = {path.name: path.lstat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()}
    assert modes.pop("link")
    assert modes == {"model.safetensors": 0o640, "run.sh": 0o740}


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "stale.bin").write_text("x")
    with replacing_folder(target) as temporary:
        (temporary / "fresh.bin").write_text("y")
        assert (target / "stale.bin").exists()
    assert [path.name for path in target.iterdir()] == ["fresh.bin"]
    assert list(tmp_path.iterdir()) == [target]


def test_two_that_write_one_folder_leave_one_of_the_two_whole(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def write_often(word: str) -> None:
        try:
            for _ in range(60):
                with replacing_folder(tmp_path / "x") as folder:
                    for name in ("a", "b", "c"):
                        (folder / name).write_text(word)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write_often, args=(word,)) for word in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len({(tmp_path / "x" / name).read_text() for name in ("a", "b", "c")}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_manifest_that_is_none_is_refused(tmp_path: Path) -> None:
    for value in ([], {"files": []}, {"digest": "x"}, {"files": {}}):
        write_json(tmp_path / "manifest.json", value)
        with pytest.raises(UserError, match="is not what it should be"):
            read_manifest(tmp_path)


def test_a_manifest_notices_missing_short_and_changed_files(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"1234")
    (tmp_path / "b.bin").write_bytes(b"5678")
    manifest = write_manifest(tmp_path, kind="test")
    assert read_manifest(tmp_path) == manifest
    assert manifest["kind"] == "test"
    (tmp_path / "a.bin").write_bytes(b"1235")
    read_manifest(tmp_path, contents=False)
    with pytest.raises(UserError, match="differs from its digest"):
        read_manifest(tmp_path)
    (tmp_path / "a.bin").write_bytes(b"123")
    with pytest.raises(UserError, match="has 3 bytes where"):
        read_manifest(tmp_path)
    (tmp_path / "a.bin").unlink()
    with pytest.raises(UserError, match="is missing"):
        read_manifest(tmp_path)


def test_the_digest_follows_content_not_order_of_keys(tmp_path: Path) -> None:
    assert sha256_of_value({"a": 1, "b": [1.5, None]}) == sha256_of_value({"b": [1.5, None], "a": 1})
    assert sha256_of_value({"a": 1}) != sha256_of_value({"a": 2})
    write_json(tmp_path / "x.json", {"ü": 1})
    assert read_json(tmp_path / "x.json") == {"ü": 1}
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"\xc3\xbc": 1}')
    assert read_json(tmp_path / "x.json") == {"ü": 1}
    (tmp_path / "y.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"y\.json is not JSON"):
        read_json(tmp_path / "y.json")
    (tmp_path / "y.json").write_text("{")
    with pytest.raises(UserError, match=r"y\.json is not JSON"):
        read_json(tmp_path / "y.json")


@pytest.mark.parametrize(
    ("raised", "code", "printed"),
    [
        ("UserError('config.yaml: key x is wrong')", 1, "ERROR -c: config.yaml: key x is wrong"),
        ("OSError(28, 'No space left on device', '/full')", 1, "/full: No space left on device; no space left: free"),
        ("OSError(28, 'No space left on device')", 1, "ERROR -c: No space left on device; no space left: free"),
        ("OSError(30, 'Read-only file system', '/ro')", 1, "/ro: Read-only file system; it is on a file system"),
        ("OSError(5, 'Input/output error')", 1, "ERROR -c: Input/output error; the disk"),
        ("PermissionError(13, 'Permission denied', '/closed')", 1, "ERROR -c: /closed: Permission denied; give"),
        ("FileExistsError(17, 'File exists', 'a')", 1, "ERROR -c: a: File exists; give another path"),
        ("NotADirectoryError(20, 'Not a directory', 'a/b')", 1, "ERROR -c: a/b: Not a directory; give"),
        ("IsADirectoryError(21, 'Is a directory', 'a')", 1, "ERROR -c: a: Is a directory; give another path"),
        ("PermissionError('ours')", 1, "Traceback"),
        ("KeyboardInterrupt()", 130, "interrupted"),
        ("ValueError('ours')", 1, "Traceback"),
    ],
)
def test_a_program_ends_with_one_line_and_a_code(raised: str, code: int, printed: str) -> None:
    program = (
        "from compactbio.errors import UserError\nfrom compactbio.logs import run_program\n"
        f"def main(): raise {raised}\nrun_program(main)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT / "scripts", capture_output=True, text=True)
    assert done.returncode == code
    assert printed in done.stderr
    assert ("Traceback" in done.stderr) == (printed == "Traceback")
