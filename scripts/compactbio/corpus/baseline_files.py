"""A batch of baseline files: fetched into the cache, or found in a mirror, and listed in a manifest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compactbio.corpus.baseline import (
    cache_folder,
    describe_offer,
    file_name,
    list_baseline,
    local_folder,
    parse_checksum,
    with_slash,
)
from compactbio.downloads.transfer import (
    DEFAULT_RETRIES,
    MissingError,
    Retries,
    TransferError,
    fetch_file,
    md5_of_file,
    read_url,
)
from compactbio.errors import UserError
from compactbio.files import replacing_file, sha256_of_file

log = logging.getLogger(__name__)


def fetch_batch(
    base_url: str, year: int, numbers: Sequence[int], downloads: Path, retries: Retries = DEFAULT_RETRIES
) -> dict[str, Any]:
    """Return the manifest of a batch after trying every file of it.

    Args:
        base_url: https://, http:// or file://; files of the last are verified and used where they are.
        year: the baseline's year.
        numbers: numbers of the files.
        downloads: the cache; files are kept in <downloads>/pubmed/<year>/<server>/.
        retries: tries and waits of each transfer.

    Returns:
        {"base_url", "year", "files": [{"name", "path", "bytes", "md5", "sha256"}], "failed": {name: reason},
        "missing": [name]}; `missing` are those failed files that the server says it does not have.
    """
    folder = local_folder(base_url)
    if folder is None:
        folder, find = cache_folder(downloads, base_url, year), _fetch
    else:
        find = _find
    manifest: dict[str, Any] = {"base_url": base_url, "year": year, "files": [], "failed": {}, "missing": []}
    for number in numbers:
        name = file_name(year, number)
        path = folder / name
        try:
            md5 = find(with_slash(base_url) + name, path, retries)
        except (MissingError, TransferError) as error:
            log.error("%s", error)
            manifest["failed"][name] = str(error)
            if isinstance(error, MissingError):
                manifest["missing"].append(name)
            continue
        facts = {"name": name, "path": str(path), "bytes": path.stat().st_size, "md5": md5}
        manifest["files"].append({**facts, "sha256": sha256_of_file(path)})
    return manifest


def require_complete(manifest: dict[str, Any], retries: Retries = DEFAULT_RETRIES) -> None:
    """Raise UserError where files of a batch failed, with what the server offers if some are not there."""
    failed, missing = manifest["failed"], manifest["missing"]
    if not failed:
        return
    lines = [f"{len(failed)} of {len(failed) + len(manifest['files'])} files of this batch could not be had:"]
    lines += [f"  {name}: {reason}" for name, reason in failed.items()]
    if missing:
        base_url = manifest["base_url"]
        try:
            offer = f"{base_url} offers now: {describe_offer(list_baseline(base_url, retries))}."
        except UserError as error:
            offer = str(error)
        lines += [
            f"{offer} The configuration asks for {missing[0]} of the {manifest['year']} baseline. "
            "A baseline is replaced every winter: set the keys corpus.baseline.year and corpus.baseline.files "
            f"(`python scripts/list_baseline.py --base-url {base_url}` prints the block to paste), "
            "or corpus.baseline.base_url to a mirror that holds that year."
        ]
    if manifest["files"]:
        lines.append("The other files of the batch are kept: starting again fetches the failed ones only.")
    raise UserError("\n".join(lines))


def _fetch(url: str, path: Path, retries: Retries) -> str:
    """Return the md5 of a file in the cache, fetched unless it is there and sound."""
    checksum = path.with_name(f"{path.name}.md5")
    if path.is_file() and checksum.is_file():
        md5 = parse_checksum(checksum.read_text(errors="replace"), path.name)
        if md5 is not None and md5_of_file(path) == md5:
            log.info("%s is in the cache", path.name)
            return md5
        log.warning("%s does not have the md5 noted beside it: fetching it again", path)
    text = read_url(f"{url}.md5", retries).decode(errors="replace")
    md5 = parse_checksum(text, path.name)
    if md5 is None:
        raise TransferError(f"{url}.md5 is no checksum of {path.name}: it reads {text[:80]!r}")
    fetch_file(url, path, md5, retries)
    with replacing_file(checksum) as temporary:
        temporary.write_text(text)
    log.info("%s fetched, %s bytes", path.name, f"{path.stat().st_size:,}")
    return md5


def _find(url: str, path: Path, retries: Retries) -> str:
    """Return the md5 of a file of a mirror, after comparing it with the .md5 beside it if there is one."""
    if not path.is_file():
        raise MissingError(f"{path} does not exist")
    checksum = path.with_name(f"{path.name}.md5")
    got = md5_of_file(path)
    if not checksum.is_file():
        log.warning("%s has no .md5 beside it and is taken as it is", path)
        return got
    text = checksum.read_text(errors="replace")
    expected = parse_checksum(text, path.name)
    if expected is None:
        raise TransferError(f"{checksum} is no checksum of {path.name}: it reads {text[:80]!r}")
    if got != expected:
        raise TransferError(f"{path} has the md5 {got} where {checksum.name} says {expected}: copy it again")
    return got
