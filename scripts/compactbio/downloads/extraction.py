"""Safe extraction: wanted files out of tar and zip archives, also nested ones, into one folder only."""

from __future__ import annotations

import lzma
import re
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from compactbio.errors import UserError

ARCHIVE_NAME = re.compile(r"\.(zip|tar|tgz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
_MAX_DEPTH = 3  # archives within archives
# Far above any benchmark; they stop archives that are made to fill the disk or to take for ever.
_MAX_FILE_BYTES = 2**31
_MAX_FILES = 200_000
_MAX_TOTAL_BYTES = 2**33  # of an archive and the archives in it
_CHUNK_BYTES = 2**20
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression or encryption that zipfile does not know
    RuntimeError,  # zipfile: a password is required
    ValueError,  # numbers of a header that are none, or names that no file can have
)


class DamagedError(UserError):
    """An archive that is not whole; `fault` says in what way."""

    def __init__(self, fault: str) -> None:
        super().__init__(f"{fault}: delete it and download it again")
        self.fault = fault


class _Room:
    """What an archive and those in it may still unpack to."""

    def __init__(self) -> None:
        self.left = _MAX_TOTAL_BYTES

    def take(self, length: int, archive: str) -> None:
        """Take bytes; UserError where there are not as many left."""
        self.left -= max(0, length)
        if self.left < 0:
            raise UserError(
                f"{archive} unpacks to more than {_MAX_TOTAL_BYTES:,} bytes: nothing more was extracted. Such an "
                "archive is broken or hostile: get it from its official place"
            )


@dataclass(frozen=True)
class Entry:
    """A regular file in an archive or folder; nested archives are part of its name like folders."""

    name: str
    open: Callable[[], IO[Any]]  # binary; valid only until the next entry is asked for


def read_entries(path: Path, name: str = "") -> Iterator[Entry]:
    """Yield the regular files of an archive, or of a folder, nested archives opened; messages call it `name`.

    Raises:
        UserError: the archive is of no known kind, or damaged: a tar archive is read to its end and checksum
            before its first file is yielded, a file of a zip archive is checked as it is read. Or any member of it
            is a link, a device or has a path outside the archive: it is refused as a whole, whatever was wanted.
    """
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                yield from _open_entry(file.relative_to(path).as_posix(), partial(file.open, "rb"), 1, _Room())
        return
    with path.open("rb") as stream:
        yield from _read_archive(stream, name or str(path), "", 1, _Room())


def check_archive(path: Path, name: str) -> None:
    """Read every file of an archive to its end and checksum.

    Raises:
        UserError: it is damaged or unsafe; the message calls it `name`.
    """
    for entry in read_entries(path, name):
        for _ in _chunks(entry):
            pass


def extract_entry(entry: Entry, folder: Path, name: str) -> Path:
    """Write an entry as `name` under `folder` and return its path.

    Raises:
        UserError: the name leads out of the folder, the file is longer than 2 GiB, or its content is damaged.
    """
    check_member_name(name, str(folder))
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as output:
        for chunk in _chunks(entry):
            output.write(chunk)
    return target


def check_member_name(name: str, archive: str) -> None:
    """Refuse a member's name that could lead out of the folder it is extracted to."""
    parts = PurePosixPath(name).parts
    leads_out = name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name)
    if not parts or leads_out:
        raise UserError(
            f"{archive} holds a member with a path outside its folder, {name!r}: nothing was extracted. "
            "Such an archive is broken or hostile: get it from its official place"
        )


def _chunks(entry: Entry) -> Iterator[bytes]:
    """Yield the content of an entry."""
    length = 0
    with _naming_damage(entry.name), entry.open() as source:
        while chunk := source.read(_CHUNK_BYTES):
            length += len(chunk)
            if length > _MAX_FILE_BYTES:
                raise UserError(f"{entry.name} is longer than {_MAX_FILE_BYTES:,} bytes: not extracted")
            yield chunk


def _read_archive(stream: IO[bytes], archive: str, prefix: str, depth: int, room: _Room) -> Iterator[Entry]:
    """Yield the files of one archive whose names get `prefix`."""
    with _naming_damage(archive):
        is_zip = zipfile.is_zipfile(stream)
        stream.seek(0)
        head = stream.read(16)
        stream.seek(0)
        if is_zip:
            yield from _read_zip(stream, archive, prefix, depth, room)
            return
        if not tarfile.is_tarfile(stream):
            raise DamagedError(f"{archive} is no sound tar or zip archive (it begins with {head!r})")
        stream.seek(0)
        with tarfile.open(fileobj=stream, mode="r:*") as tar:
            yield from _read_tar(tar, archive, prefix, depth, room)


def _read_zip(stream: IO[bytes], archive: str, prefix: str, depth: int, room: _Room) -> Iterator[Entry]:
    """Yield the files of a zip archive, all names checked first."""
    with zipfile.ZipFile(stream) as content:
        # `filename` is cleaned by zipfile, `orig_filename` is what the archive says.
        members = ((member, stat.S_IFMT(member.external_attr >> 16)) for member in content.infolist())
        plain = (0, stat.S_IFREG, stat.S_IFDIR)
        _require_harmless(archive, ((m.orig_filename, kind in plain, m.file_size) for m, kind in members), room)
        for member in content.infolist():
            if not member.is_dir():
                yield from _open_entry(prefix + member.filename, partial(content.open, member), depth, room)


def _read_tar(tar: tarfile.TarFile, archive: str, prefix: str, depth: int, room: _Room) -> Iterator[Entry]:
    """Yield the files of a tar archive, all members checked first, and that they are all."""
    _require_harmless(archive, ((member.name, member.isfile() or member.isdir(), member.size) for member in tar), room)
    _require_end(tar)
    for member in tar.getmembers():
        if member.isfile():
            yield from _open_entry(prefix + member.name, partial(_open_member, tar, member), depth, room)


def _require_harmless(archive: str, members: Iterable[tuple[str, bool, int]], room: _Room) -> None:
    """Refuse an archive by its members' names, each with whether it is a file or a folder, their number or lengths."""
    for number, (name, is_plain, length) in enumerate(members, start=1):
        room.take(length, archive)
        if number > _MAX_FILES:
            raise UserError(f"{archive} has more than {_MAX_FILES:,} members: nothing was extracted")
        check_member_name(name, archive)
        if not is_plain:
            raise UserError(
                f"{archive} holds a link or device, {name!r}: nothing was extracted. Such an archive is broken "
                "or hostile: get it from its official place"
            )


def _require_end(tar: tarfile.TarFile) -> None:
    """Read what follows the last member that was found: zeros only, else a damaged header hides other members.

    Reading to the end of the compressed stream also compares its checksum.
    """
    stream = tar.fileobj
    assert stream is not None  # it is open
    stream.seek(tar.offset)
    length = 0
    while chunk := stream.read(_CHUNK_BYTES):
        length += len(chunk)
        if length > _MAX_FILE_BYTES:
            raise tarfile.ReadError(f"after {len(tar.getmembers())} members, it goes on without end")
        if chunk.count(0) != len(chunk):
            raise tarfile.ReadError(f"after {len(tar.getmembers())} members, it goes on with what is no member")
    if length < tarfile.BLOCKSIZE:
        raise tarfile.ReadError(f"it ends after {len(tar.getmembers())} members without the mark of its end")


def _open_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """Return a regular file of a tar archive, opened."""
    stream = tar.extractfile(member)
    assert stream is not None  # only folders and devices have none
    return stream


def _open_entry(name: str, open_file: Callable[[], IO[Any]], depth: int, room: _Room) -> Iterator[Entry]:
    """Yield an entry, or the entries in it if it is an archive itself."""
    path = PurePosixPath(name)
    if path.name.startswith("._") or "__MACOSX" in path.parts:
        return  # resource forks that macOS adds to its archives
    entry = Entry(path.as_posix(), open_file)
    if not ARCHIVE_NAME.search(name):
        yield entry
        return
    if depth >= _MAX_DEPTH:
        raise UserError(f"{name}: archives within archives are opened {_MAX_DEPTH} deep only")
    with tempfile.TemporaryFile() as buffer:
        for chunk in _chunks(entry):
            buffer.write(chunk)
        buffer.seek(0)
        yield from _read_archive(buffer, name, f"{path.as_posix()}/", depth + 1, room)


@contextmanager
def _naming_damage(archive: str) -> Iterator[None]:
    """Turn what the archive modules raise on broken content into a UserError that names the archive."""
    try:
        yield
    except _DAMAGE as error:
        raise DamagedError(f"{archive} is damaged or cut short ({type(error).__name__}: {error})") from None
    except OSError as error:
        # gzip and bz2 report damage as OSError without a number; a full disk has one.
        if error.errno is not None:
            raise
        raise DamagedError(f"{archive} is damaged ({error})") from None
