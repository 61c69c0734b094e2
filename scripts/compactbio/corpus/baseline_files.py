"""Some files of a baseline: fetched into the cache, or found in a mirror, and listed in a manifest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from compactbio.corpus.baseline import cache_folder, describe_offer, file_name, list_baseline, with_slash
from compactbio.digests import AGAIN, Recorded, require_same, sha256_of_file
from compactbio.downloads.checksums import Digest, digest_of_file, parse_md5
from compactbio.downloads.pins import DIGESTS, pinned, read_pins
from compactbio.downloads.retries import PATIENCE, MissingError, Patience, TransferError, TransientError, with_retries
from compactbio.downloads.transfer import fetch_file
from compactbio.downloads.web import local_path, read_text
from compactbio.errors import UserError
from compactbio.files import read_json, write_text

log = logging.getLogger(__name__)


class BaselineFile(TypedDict):
    """A file of a manifest, as it was when its digests were compared."""

    name: str
    path: str
    bytes: int
    md5: str
    sha256: str


class BaselineManifest(TypedDict):
    """What download_baseline writes: the files there are, and what failed and why.

    `missing` are those failed files that the server says it does not have.
    """

    base_url: str
    year: int
    files: list[BaselineFile]
    failed: dict[str, str]
    missing: list[str]


def read_baseline_manifest(path: Path) -> BaselineManifest:
    """Return a manifest after checking that none of its files failed, is gone or has changed since.

    Raises:
        UserError: it is no such manifest, or a file is not what it says.
    """
    manifest = read_baseline_list(path)
    if manifest["failed"]:
        names = ", ".join(manifest["failed"])
        raise UserError(f"{path} lacks {names}, which could not be downloaded: run download_baseline again")
    require_same(recorded_baseline(path, manifest))
    return manifest


def read_baseline_list(path: Path) -> BaselineManifest:
    """Return a manifest as it is.

    Raises:
        UserError: it is no such manifest.
    """
    manifest: BaselineManifest = read_json(path, BaselineManifest, f"delete it and {AGAIN}")
    return manifest


def recorded_baseline(path: Path, manifest: BaselineManifest) -> list[Recorded]:
    """Return the files of a manifest, which is at `path`, with what it says of them."""
    remake = f"delete {path} and {AGAIN}, which fetches what is damaged"
    return [
        Recorded(Path(file["path"]), file["sha256"], path, remake, bytes=file["bytes"]) for file in manifest["files"]
    ]


def fetch_baseline_files(
    base_url: str, year: int, numbers: Sequence[int], downloads: Path, patience: Patience = PATIENCE
) -> BaselineManifest:
    """Return the manifest of some files after trying every one of them.

    Files of a file:// URL are verified and used where they are, others kept in <downloads>/pubmed/<year>/<server>/.
    """
    mirror = local_path(base_url)
    folder = cache_folder(downloads, base_url, year) if mirror is None else mirror
    manifest = BaselineManifest(base_url=base_url, year=year, files=[], failed={}, missing=[])
    for number in numbers:
        name = file_name(year, number)
        path = folder / name
        try:
            md5 = _fetch(with_slash(base_url) + name, path, patience) if mirror is None else _find(path)
        except TransferError as error:
            log.error("%s", error)
            manifest["failed"][name] = str(error)
            if isinstance(error, MissingError):
                manifest["missing"].append(name)
            continue
        size, sha256 = path.stat().st_size, sha256_of_file(path)
        manifest["files"].append({"name": name, "path": str(path), "bytes": size, "md5": md5, "sha256": sha256})
    return manifest


def require_complete(manifest: BaselineManifest, patience: Patience = PATIENCE) -> None:
    """Raise UserError where files failed, with what the server offers if some are not there."""
    failed, missing = manifest["failed"], manifest["missing"]
    if not failed:
        return
    lines = [f"{len(failed)} of {len(failed) + len(manifest['files'])} files could not be fetched:"]
    lines += [f"  {name}: {reason}" for name, reason in failed.items()]
    if missing:
        base_url = manifest["base_url"]
        try:
            offer = f"{base_url} offers now: {describe_offer(list_baseline(base_url, patience))}."
        except UserError as error:
            offer = str(error)
        lines += [
            f"{offer} The configuration asks for {missing[0]} of the {manifest['year']} baseline. "
            "A baseline is replaced every winter: set the keys corpus.baseline.year and corpus.baseline.files "
            f"(`python scripts/list_baseline.py --base-url {base_url}` prints the block to paste), "
            "or corpus.baseline.base_url to a mirror that holds that year."
        ]
    if manifest["files"]:
        lines.append("The other files are kept: starting again fetches the failed ones only.")
    raise UserError("\n".join(lines))


def _fetch(url: str, path: Path, patience: Patience) -> str:
    """Return the md5 of a file in the cache, fetched unless it is there and sound."""
    checksum = path.with_name(f"{path.name}.md5")
    if path.is_file() and checksum.is_file():
        md5 = parse_md5(checksum.read_text(encoding="utf-8", errors="replace"), path.name)
        if md5 is not None and digest_of_file(path, "md5") == md5:
            log.info("%s is in the cache", path.name)
            return md5
        log.warning("%s does not have the md5 noted beside it: fetching it again", path)
    try:
        text, md5 = _stated_md5(f"{url}.md5", path.name, patience)
    except MissingError:
        return _fetch_without_checksum(url, path, patience)
    fetch_file([url], path, expected=Digest("md5", md5, f"its .md5 file ({url}.md5)"), patience=patience)
    write_text(checksum, text)
    return md5


def _stated_md5(url: str, name: str, patience: Patience) -> tuple[str, str]:
    """Return the text of a .md5 file on a server and the md5 in it; something else in its place is asked for again."""

    def attempt() -> tuple[str, str]:
        text = read_text(url, patience)
        md5 = parse_md5(text, name)
        if md5 is None:
            raise TransientError(f"it is no checksum of {name}, it reads {text[:80]!r}")
        return text, md5

    return with_retries(attempt, url, patience)


def _fetch_without_checksum(url: str, path: Path, patience: Patience) -> str:
    """Return the md5 of a file whose server states none: opened to its end, and the same as when first seen."""
    lock_file = path.with_name(DIGESTS)
    first_seen = read_pins(lock_file).get(url)
    stated_by = f"{lock_file}, as first seen (remove its line there to take what is served today),"
    expected = Digest("sha256", first_seen, stated_by) if first_seen else None
    fetch_file([url], path, expected=expected, patience=patience)
    pinned(lock_file, url, lambda: sha256_of_file(path))
    log.warning("%s has no .md5 beside it on the server and is taken as it is", url)
    return digest_of_file(path, "md5")


def _find(path: Path) -> str:
    """Return the md5 of a file of a mirror, after comparing it with the .md5 beside it if there is one."""
    if not path.is_file():
        raise MissingError(f"{path} does not exist")
    checksum = path.with_name(f"{path.name}.md5")
    if not checksum.is_file():
        log.warning("%s has no .md5 beside it and is taken as it is", path)
        return digest_of_file(path, "md5")
    text = checksum.read_text(encoding="utf-8", errors="replace")
    md5 = parse_md5(text, path.name)
    if md5 is None:
        raise TransferError(f"{checksum} is no checksum of {path.name}: it reads {text[:80]!r}")
    fault = Digest("md5", md5, checksum.name).mismatch(path)
    if fault:
        raise TransferError(f"{path}: {fault}. Copy it again")
    return md5
