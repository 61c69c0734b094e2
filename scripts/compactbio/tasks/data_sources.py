"""The table of data sources, and a source's files brought into the download cache."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import TypedDict
from urllib.parse import quote

from compactbio.digests import sha256_of_file
from compactbio.downloads.checksums import Digest
from compactbio.downloads.content import archive_fault, content_fault
from compactbio.downloads.extraction import ARCHIVE_NAME, check_member_name, extract_entry, read_entries
from compactbio.downloads.pins import DIGESTS, pinned, read_pins
from compactbio.downloads.transfer import fetch_file
from compactbio.downloads.web import file_name_of, local_path
from compactbio.errors import UserError
from compactbio.files import MANIFEST, FileFacts, read_manifest, replacing_folder, sha256_of_value, write_manifest
from compactbio.locks import locked
from compactbio.tasks.texts import read_rows
from compactbio.temporaries import tidy

COLUMNS = (
    *("name", "member", "url", "mirrors", "version", "sha256", "licence", "citation", "language", "generated", "note"),
)


_PLAIN = ("name", "version", "sha256", "licence", "citation", "language", "generated", "note")


@dataclass(frozen=True)
class Source:
    """A source of data files: one row of the table and the rows of its members."""

    name: str
    urls: tuple[str, ...]
    version: str
    sha256: str
    licence: str
    citation: str
    language: str  # by its code
    generated: str  # the program that wrote it in the form of something real; "" for what is what it says
    note: str
    members: dict[str, str]  # path -> sha256, "" if unknown
    terms: dict[str, tuple[str, str]]  # path of a member -> its licence, its citation


def read_sources(table: Path) -> dict[str, Source]:
    """Return the sources of a table (tab-separated, columns `COLUMNS`) by name.

    Raises:
        UserError: the table is missing or malformed; the line is named.
    """
    numbered = read_rows(table, len(COLUMNS), ", ".join(COLUMNS))
    if tuple(numbered[0][1]) != COLUMNS:
        raise UserError(f"{table} must begin with the columns {', '.join(COLUMNS)}, separated by tabs")
    rows: dict[str, dict[str, str]] = {}
    members: dict[str, dict[str, str]] = defaultdict(dict)
    terms: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for number, cells in numbered[1:]:
        where = f"{table}, line {number}"
        row = dict(zip(COLUMNS, (cell.strip() for cell in cells), strict=True))
        if row["sha256"] and not re.fullmatch(r"[0-9a-f]{64}", row["sha256"]):
            raise UserError(f"{where}: sha256 must be 64 digits 0-9a-f, or empty if unknown")
        name, member = row["name"], row["member"]
        if not name or (member in members[name] if member else name in rows):
            raise UserError(f"{where}: {name or 'a name'} {member} is missing or occurs twice")
        if member:
            check_member_name(member, where)
            members[name][member] = row["sha256"]
            terms[name][member] = (row["licence"], row["citation"])
        else:
            rows[name] = row
    orphans = sorted(name for name, files in members.items() if files and name not in rows)
    if orphans:
        raise UserError(f"{table}: {', '.join(orphans)} has members but no row of its own")
    return {
        name: Source(
            urls=tuple(url for url in (row["url"], *row["mirrors"].split()) if url),
            members=members[name],
            terms=terms[name],
            **{key: row[key] for key in _PLAIN},
        )
        for name, row in rows.items()
    }


class SourceManifest(TypedDict):
    """What fetch_task_data writes: the files of a source, in `folder`, and where they are from."""

    source: str
    version: str
    url: str
    archive: dict[str, str]  # `path` of the archive or folder that the files came from, and its `sha256`
    folder: str
    digest: str
    files: dict[str, FileFacts]
    licence: str
    citation: str


def fetch_source(source: Source, cache: Path, table: Path, url: str | None = None) -> SourceManifest:
    """Return a manifest of a source's files after downloading, verifying and extracting what is not there yet.

    A file:// source, an archive or a folder, is read in place. Files lie in
    <cache>/<name>/<version>/<digest of the archive>/, so that another archive never meets this one's files.

    Args:
        source, table: what to fetch, and the table that has it, for messages.
        cache: the folder of downloads, shared between configurations.
        url: an address to use instead of the source's own (configuration key data_urls).

    Raises:
        UserError: there is no address, nothing came, or what came is not what the table says.
    """
    urls = (url,) if url else source.urls
    by_hand = f"Get the file by hand and set data_urls.{source.name}: file:///path/to/it"
    if not urls:
        raise UserError(f"{table} has no address for {source.name} ({source.note}). {by_hand}")
    listed = bool(source.members) and urls[0].endswith("/")  # a folder on a server, whose files the table lists
    if not url and not listed and not ARCHIVE_NAME.search(urls[0]):
        raise UserError(f"{source.name} stands in {table} for its licence; another program fetches it")
    home = cache / source.name / (source.version or "unversioned")
    used, archive = urls[0], local_path(urls[0])
    if archive is None:
        # Another address may hold another archive under the same name.
        place = home / f"from-{sha256_of_value(url)[:8]}" if url else home
        archive = place / ("files" if listed else file_name_of(urls[0], f"{source.name}.archive"))
        try:
            if listed:
                for member, sha256 in source.members.items():
                    _fetch([f"{address}{quote(member)}" for address in urls], archive / member, sha256, cache, table)
                digest = sha256_of_value({member: sha256_of_file(archive / member) for member in source.members})
            else:
                # An address of the user's may hold a repacked archive: its members' digests decide then.
                decided = bool(source.members) and all(source.members.values())
                sha256 = "" if url else source.sha256
                used = _fetch(urls, archive, sha256, cache, table, archive=True, pin=not decided)
                digest = sha256_of_file(archive)
        except UserError as error:
            raise UserError(f"{source.name}: {error}. {by_hand}") from None
    elif archive.is_file():
        digest = sha256_of_file(archive)
    elif archive.is_dir():
        digest = _digest_of_folder(archive)
    else:
        what = "is neither a file nor a folder" if archive.exists() else "does not exist"
        raise UserError(f"{archive} {what}: correct data_urls.{source.name}")
    folder = home / digest[:16]
    if not _is_complete(folder, source.members):
        with locked(folder):
            if not _is_complete(folder, source.members):  # by whom this has waited for
                extract_members(archive, source.members, folder, table)
    tidy(folder)
    content = read_manifest(folder, contents=False)
    logging.info("%s: %d files in %s", source.name, len(content["files"]), folder)
    return {
        "source": source.name,
        "version": source.version,
        "url": used,
        "archive": {"path": str(archive), "sha256": digest},
        "folder": str(folder),
        "digest": content["digest"],
        "files": content["files"],
        "licence": source.licence,
        "citation": source.citation,
    }


def _fetch(
    urls: Sequence[str], target: Path, sha256: str, cache: Path, table: Path, *, archive: bool = False, pin: bool = True
) -> str:
    """Bring a file to the cache and return the URL used; without a sha256 in the table, the one first seen holds.

    Args:
        urls, target: addresses of the same file, and where it goes.
        sha256, table: what the table says, "" if nothing.
        cache: the folder whose lock file records what was first seen.
        archive: the file must be an archive, whatever its name.
        pin: whether to record what is first seen (not where something else decides).
    """
    lock_file, key = cache / DIGESTS, target.relative_to(cache).as_posix()
    expected = Digest("sha256", sha256, str(table)) if sha256 else None
    seen = read_pins(lock_file).get(key) if pin and not sha256 else None
    if seen:
        stated_by = f"{lock_file}, as first seen (remove its line of {key} to take what there is today),"
        expected = Digest("sha256", seen, stated_by)
    used = fetch_file(urls, target, expected=expected, fault_of=archive_fault if archive else content_fault)
    if pin and not expected:
        pinned(lock_file, key, lambda: sha256_of_file(target))
    return used


def extract_members(archive: Path, members: dict[str, str], folder: Path, table: Path) -> None:
    """Write the wanted members of an archive (or folder) under `folder`, verified; all files if none is named.

    A member is found by its path; else by the longest common end of both paths, which must be its last two
    parts at least, or its name alone if the table gives no more. So a different outer folder does no harm.

    Raises:
        UserError: a member is missing, ambiguous or has another digest than the table says; or the archive is
            damaged or unsafe.
    """
    with replacing_folder(folder) as temporary:
        names = [entry.name for entry in read_entries(archive)]
        member_of = _choose(names, members, archive) if members else {name: name for name in names}
        for entry in read_entries(archive):
            if entry.name not in member_of:
                continue
            member = member_of[entry.name]
            found = sha256_of_file(extract_entry(entry, temporary, member))
            expected = members.get(member, "")
            if expected and found != expected:
                raise UserError(
                    f"{archive}: the file {entry.name} has sha256 {found} where {table} says {expected}: it is "
                    f"not the file that was used here. Get the right archive (data_urls), or correct the "
                    f"row of member {member} in {table}"
                )
        write_manifest(temporary, members=members)


def _choose(names: list[str], members: dict[str, str], archive: Path) -> dict[str, str]:
    """Return the names of the entries that are taken for members, with these."""
    chosen = {}
    missing = []
    for member in members:
        parts = PurePosixPath(member).parts
        named_alike = [name for name in names if name.rpartition("/")[2] == parts[-1]]
        shared = {name: _common_end(PurePosixPath(name).parts, parts) for name in named_alike}
        best = max(shared.values(), default=0)
        candidates = [name for name, length in shared.items() if length == best]
        if best < min(2, len(parts)):
            missing.append(member)
        elif len(candidates) > 1:
            raise UserError(f"{archive} holds {member} more than once: {', '.join(candidates)}. Keep one")
        else:
            chosen[candidates[0]] = member
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise UserError(f"{archive} does not hold {shown}: it is another archive, or only a part of it")
    return chosen


def _common_end(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Return how many last parts two paths share."""
    pairs = zip(reversed(first), reversed(second), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _is_complete(folder: Path, members: dict[str, str]) -> bool:
    """Return whether an earlier extraction left exactly these members, unchanged."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        return read_manifest(folder).get("members") == members
    except UserError as error:
        logging.warning("%s; extracting again", error)
        return False


def _digest_of_folder(folder: Path) -> str:
    """Return the sha256 of a folder's names, sizes and times."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    stamps = [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(sha256_of_value([str(folder), stamps]).encode()).hexdigest()
