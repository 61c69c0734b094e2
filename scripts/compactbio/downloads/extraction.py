"""Safe extraction: wanted files out of tar and zip archives, also nested ones, into one folder only."""

from __future__ import annotations

import lzma
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from compactbio.errors import UserError

_ARCHIVE_NAME = re.compile(r"\.(zip|tar|tgz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
_MAX_DEPTH = 3  # archives within archives
_MAX_FILE_BYTES = 2**31  # of one file; far above any benchmark, it stops a file made to fill the disk
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression or encryption that zipfile does not know
    RuntimeError,  # zipfile: a password is required
)


@dataclass(frozen=True)
class Entry:
    """A regular file in an archive or folder; nested archives are part of its name like folders."""

    name: str
    open: Callable[[], IO[bytes]]  # valid only until the next entry is asked for


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield the regular files of an archive, or of a folder, nested archives opened.

    Raises:
        UserError: the archive is damaged or of no known kind, or any member of it is a link, a device or has
            a path outside the archive. The whole archive is refused then, whatever was wanted from it.
    """
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                yield from _open_entry(file.relative_to(path).as_posix(), lambda file=file: file.open("rb"), 1)
        return
    with path.open("rb") as stream:
        yield from _read_archive(stream, str(path), "", 1)


def extract_entry(entry: Entry, folder: Path, name: str) -> Path:
    """Write an entry as `name` under `folder` and return its path.

    Raises:
        UserError: the name leads out of the folder, the file is longer than 2 GiB, or its content is damaged.
    """
    check_member_name(name, str(folder))
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with _naming_damage(entry.name), entry.open() as source, target.open("wb") as output:
        while chunk := source.read(2**20):
            written += len(chunk)
            if written > _MAX_FILE_BYTES:
                raise UserError(f"{entry.name} is longer than {_MAX_FILE_BYTES} bytes: not extracted")
            output.write(chunk)
    return target


def check_member_name(name: str, archive: str) -> None:
    """Refuse a member's name that could lead out of the folder it is extracted to."""
    parts = PurePosixPath(name).parts
    unsafe = (
        not parts
        or name.startswith(("/", "\\"))
        or ".." in parts
        or "\\" in name
        or "\0" in name
        or re.match(r"[A-Za-z]:", name)
    )
    if unsafe:
        raise UserError(
            f"{archive} holds a member with a path outside its folder, {name!r}: nothing was extracted. "
            "Such an archive is broken or hostile: get it from its official place"
        )


def _read_archive(stream: IO[bytes], archive: str, prefix: str, depth: int) -> Iterator[Entry]:
    """Yield the files of one archive whose names get `prefix`."""
    with _naming_damage(archive):
        is_zip = zipfile.is_zipfile(stream)
        stream.seek(0)
        head = stream.read(16)
        stream.seek(0)
        if is_zip:
            yield from _read_zip(stream, archive, prefix, depth)
            return
        if not tarfile.is_tarfile(stream):
            raise UserError(
                f"{archive} is no sound tar or zip archive (it begins with {head!r}): delete it and download it again"
            )
        stream.seek(0)
        with tarfile.open(fileobj=stream, mode="r:*") as tar:
            yield from _read_tar(tar, archive, prefix, depth)


def _read_zip(stream: IO[bytes], archive: str, prefix: str, depth: int) -> Iterator[Entry]:
    """Yield the files of a zip archive, all names checked first."""
    with zipfile.ZipFile(stream) as content:
        members = content.infolist()
        for member in members:
            # `filename` is cleaned by zipfile, `orig_filename` is what the archive says.
            check_member_name(member.orig_filename, archive)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UserError(_special(archive, member.filename))
        for member in members:
            if not member.is_dir():
                yield from _open_entry(prefix + member.filename, lambda member=member: content.open(member), depth)


def _read_tar(tar: tarfile.TarFile, archive: str, prefix: str, depth: int) -> Iterator[Entry]:
    """Yield the files of a tar archive, all members checked first (which reads it to its end once)."""
    members = tar.getmembers()
    for member in members:
        check_member_name(member.name, archive)
        if not (member.isfile() or member.isdir()):
            raise UserError(_special(archive, member.name))
    for member in members:
        if member.isfile():
            yield from _open_entry(prefix + member.name, lambda member=member: tar.extractfile(member), depth)


def _open_entry(name: str, open_file: Callable[[], IO[bytes]], depth: int) -> Iterator[Entry]:
    """Yield an entry, or the entries in it if it is an archive itself."""
    path = PurePosixPath(name)
    if path.name.startswith("._") or "__MACOSX" in path.parts:
        return  # resource forks that macOS adds to its archives
    if not _ARCHIVE_NAME.search(name):
        yield Entry(path.as_posix(), open_file)
        return
    if depth >= _MAX_DEPTH:
        raise UserError(f"{name}: archives within archives are opened {_MAX_DEPTH} deep only")
    with tempfile.TemporaryFile() as buffer:
        with _naming_damage(name), open_file() as source:
            shutil.copyfileobj(source, buffer)
        buffer.seek(0)
        yield from _read_archive(buffer, name, f"{path.as_posix()}/", depth + 1)


def _special(archive: str, name: str) -> str:
    """Return the message for a member that is neither a file nor a folder."""
    return (
        f"{archive} holds a link or device, {name!r}: nothing was extracted. Such an archive is broken "
        "or hostile: get it from its official place"
    )


@contextmanager
def _naming_damage(archive: str) -> Iterator[None]:
    """Turn what the archive modules raise on broken content into a UserError that names the archive."""
    try:
        yield
    except _DAMAGE as error:
        raise UserError(
            f"{archive} is damaged or cut short ({type(error).__name__}: {error}): delete it and download it again"
        ) from None
    except OSError as error:
        # gzip and bz2 report damage as OSError without a number; a full disk has one.
        if error.errno is not None:
            raise
        raise UserError(f"{archive} is damaged ({error}): delete it and download it again") from None
