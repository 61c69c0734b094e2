"""The table of data sources, and a source's files brought into the download cache."""

from __future__ import annotations

import csv
import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from compactbio.downloads.extraction import check_member_name, extract_entry, read_entries
from compactbio.errors import UserError
from compactbio.files import (
    MANIFEST,
    read_manifest,
    replacing_folder,
    sha256_of_file,
    sha256_of_value,
    write_manifest,
)
from compactbio.tasks.downloads import download, file_name_of, local_path

COLUMNS = ("name", "member", "url", "mirrors", "version", "sha256", "licence", "citation", "note")
_ARCHIVE_URL = re.compile(r"\.(zip|tar|tgz|tar\.(gz|bz2|xz))$", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """A source of data files: one row of the table and the rows of its members."""

    name: str
    urls: tuple[str, ...]
    version: str
    sha256: str
    licence: str
    citation: str
    note: str
    members: dict[str, str] = field(default_factory=dict)  # path -> sha256, "" if unknown


def read_sources(table: Path) -> dict[str, Source]:
    """Return the sources of a table (tab-separated, columns `COLUMNS`) by name.

    Raises:
        UserError: the table is missing or malformed; the line is named.
    """
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{table} does not exist") from None
    if not lines or tuple(lines[0].split("\t")) != COLUMNS:
        raise UserError(f"{table} must begin with the columns {', '.join(COLUMNS)}, separated by tabs")
    rows: dict[str, dict[str, str]] = {}
    members: dict[str, dict[str, str]] = defaultdict(dict)
    reader = csv.reader(lines[1:], delimiter="\t", quoting=csv.QUOTE_NONE)
    for number, cells in enumerate(reader, start=2):
        where = f"{table}, line {number}"
        if len(cells) != len(COLUMNS):
            raise UserError(f"{where}: {len(cells)} cells where {len(COLUMNS)} are expected")
        row = dict(zip(COLUMNS, (cell.strip() for cell in cells), strict=True))
        if row["sha256"] and not re.fullmatch(r"[0-9a-f]{64}", row["sha256"]):
            raise UserError(f"{where}: sha256 must be 64 digits 0-9a-f, or empty if unknown")
        name, member = row["name"], row["member"]
        if member:
            check_member_name(member, where)
        if not name or (member in members[name] if member else name in rows):
            raise UserError(f"{where}: {name or 'a name'} {member} is missing or occurs twice")
        if member:
            members[name][member] = row["sha256"]
        else:
            rows[name] = row
    orphans = sorted(name for name, files in members.items() if files and name not in rows)
    if orphans:
        raise UserError(f"{table}: {', '.join(orphans)} has members but no row of its own")
    return {
        name: Source(
            name=name,
            urls=tuple(url for url in (row["url"], *row["mirrors"].split()) if url),
            version=row["version"],
            sha256=row["sha256"],
            licence=row["licence"],
            citation=row["citation"],
            note=row["note"],
            members=members[name],
        )
        for name, row in rows.items()
    }


def fetch_source(source: Source, cache: Path, table: Path, url: str | None = None) -> dict[str, Any]:
    """Return a manifest of a source's files after downloading, verifying and extracting what is not there yet.

    A file:// source, an archive or a folder, is read in place. Files lie in
    <cache>/<name>/<version>/<digest of the archive>/, so that another archive never meets this one's files.

    Args:
        source: what to fetch.
        cache: the folder of downloads, shared between configurations.
        table: the sources' table, for messages.
        url: an address to use instead of the source's own (configuration key data_urls).

    Raises:
        UserError: there is no address, nothing came, or what came is not what the table says.
    """
    urls = (url,) if url else source.urls
    by_hand = f"Get the file by hand and set data_urls.{source.name}: file:///path/to/it"
    if not urls:
        raise UserError(f"{table} has no address for {source.name} ({source.note}). {by_hand}")
    listed = bool(source.members) and urls[0].endswith("/")  # a folder on a server, whose files the table lists
    if not url and not listed and not _ARCHIVE_URL.search(urls[0]):
        raise UserError(f"{source.name} stands in {table} for its licence; another program fetches it")
    home = cache / source.name / (source.version or "unversioned")
    used, archive = urls[0], local_path(urls[0])
    if archive is None:
        # Another address may hold another archive under the same name.
        place = home / f"from-{sha256_of_value(url)[:8]}" if url else home
        archive = place / ("files" if listed else file_name_of(urls[0], f"{source.name}.archive"))
        try:
            if listed:
                digest = _download_files(urls, source.members, archive)
            else:
                # An address of the user's may hold a repacked archive: its members' digests decide then.
                used = download(urls, archive, sha256="" if url else source.sha256)
                digest = sha256_of_file(archive)
        except UserError as error:
            raise UserError(f"{source.name}: {error}. {by_hand}") from None
    elif not archive.exists():
        raise UserError(f"{archive} does not exist: correct data_urls.{source.name}")
    else:
        digest = _digest(archive)
    folder = home / digest[:16]
    if not _is_complete(folder, source.members):
        extract_members(archive, source.members, folder, table)
    content = read_manifest(folder)
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


def _download_files(urls: Sequence[str], members: dict[str, str], folder: Path) -> str:
    """Bring the members of a folder on a server, each by its own address, into a folder; return their digest."""
    for member, expected in members.items():
        download([f"{url}{quote(member)}" for url in urls], folder / member, sha256=expected)
    return sha256_of_value({member: sha256_of_file(folder / member) for member in members})


def extract_members(archive: Path, members: dict[str, str], folder: Path, table: Path) -> None:
    """Write the wanted members of an archive (or folder) under `folder`, verified; all files if none is named.

    A member is found by its path; else by the longest common end of both paths, which must be its last two
    parts at least, or its name alone if the table gives no more. So a different outer folder does no harm.

    Raises:
        UserError: a member is missing, ambiguous or has another digest than the table says; or the archive is
            damaged or unsafe.
    """
    with replacing_folder(folder) as temporary:
        if members:
            chosen = _choose([entry.name for entry in read_entries(archive)], members, archive)
        else:
            chosen = {entry.name: entry.name for entry in read_entries(archive)}
        wanted = {entry: member for member, entry in chosen.items()}
        for entry in read_entries(archive):
            if entry.name not in wanted:
                continue
            member = wanted[entry.name]
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
    """Return member -> name of the entry that is taken for it."""
    chosen = {}
    missing = []
    by_base = defaultdict(list)
    for name in names:
        by_base[PurePosixPath(name).name].append(name)
    for member in members:
        parts = PurePosixPath(member).parts
        lengths = {name: _common_end(PurePosixPath(name).parts, parts) for name in by_base[parts[-1]]}
        best = max(lengths.values(), default=0)
        candidates = [name for name, length in lengths.items() if length == best]
        if best < min(2, len(parts)):
            missing.append(member)
        elif len(candidates) > 1:
            raise UserError(f"{archive} holds {member} more than once: {', '.join(candidates)}. Keep one")
        else:
            chosen[member] = candidates[0]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise UserError(f"{archive} does not hold {shown}: it is another archive, or only a part of it")
    return chosen


def _common_end(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Return how many last parts two paths share."""
    length = 0
    while length < min(len(first), len(second)) and first[-1 - length] == second[-1 - length]:
        length += 1
    return length


def _is_complete(folder: Path, members: dict[str, str]) -> bool:
    """Return whether an earlier extraction left exactly these members, unchanged."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        return read_manifest(folder, verify=True).get("members") == members
    except UserError as error:
        logging.warning("%s; extracting again", error)
        return False


def _digest(archive: Path) -> str:
    """Return the sha256 of an archive, or of a folder's names, sizes and times."""
    if not archive.is_dir():
        return sha256_of_file(archive)
    files = sorted(path for path in archive.rglob("*") if path.is_file())
    stamps = [(path.relative_to(archive).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(sha256_of_value([str(archive), stamps]).encode()).hexdigest()
