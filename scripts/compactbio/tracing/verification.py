"""Everything under a folder of results and one of downloads of which some record has the digest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from compactbio.corpus.baseline_files import read_baseline_list, recorded_baseline
from compactbio.corpus.shards import recorded_texts
from compactbio.digests import AGAIN, Recorded
from compactbio.downloads.checksums import parse_md5
from compactbio.downloads.pins import DIGESTS, read_pins
from compactbio.errors import UserError, reading
from compactbio.files import MANIFEST, read_manifest_alone, recorded_files
from compactbio.provenance import NOTED, PROVENANCE, noted_digest, read_provenance, recorded_outputs
from compactbio.settings.results import Downloads, Results, find
from compactbio.tasks.prepare import read_source

_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # what the hub's cache calls its contents: git's digest, or sha256


def recorded_everywhere(results: Results[Path], downloads: Downloads[Path]) -> tuple[list[Recorded], list[str]]:
    """Return all files with a recorded digest, and what is wrong with the records themselves.

    Of a file that several records name, one is returned for each digest that they have.
    """
    found: dict[tuple[Path, str], Recorded] = {}
    broken: list[str] = []

    def take(path: Path, read: Callable[[Path], list[Recorded]]) -> None:
        """Add what a record has; a record that cannot be read is itself a finding."""
        try:
            for file in read(path):
                found.setdefault((file.path, file.digest), file)
        except UserError as error:
            broken.append(str(error))
        except OSError as error:
            broken.append(f"{path} cannot be read ({error.strerror}): delete it and {AGAIN}")

    lists = results.tasks.source("*")
    for path in _files(results.folder, MANIFEST):
        take(path, lambda path: _of_manifest(path, f"delete {path.parent} and {AGAIN}"))
    for path in _files(results.folder, PROVENANCE):
        take(path, lambda path: recorded_outputs(path.parent, read_provenance(path), path))
    for path in _files(results.folder, f"*{NOTED}"):
        take(path, lambda path: [noted_digest(path)])
    for path in find(results, results.corpus.text("*")):
        take(path, recorded_texts)
    for path in find(results, results.corpus.baseline("*")):
        take(path, lambda path: _there(recorded_baseline(path, read_baseline_list(path))))
    for path in find(results, lists):
        take(path, _of_source)
    cache = downloads.folder
    for path in _files(cache, MANIFEST):
        take(path, lambda path: _of_manifest(path, f"delete {path.parent} and {lists} and {AGAIN}"))
    for path in _files(cache, DIGESTS):
        take(path, _of_pins)
    for path in _files(downloads.pubmed, "*.md5"):
        take(path, _of_md5)
    for path in _files(downloads.hub, "*"):
        if path.parent.name == "blobs" and _BLOB.fullmatch(path.name):
            take(path, _of_blob)
    return list(found.values()), broken


def _files(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the files of a folder and below whose names fit a pattern; none of a folder that is not there."""
    return (path for path in sorted(folder.rglob(pattern)) if path.is_file() and ".partial" not in path.name)


def _of_manifest(path: Path, remake: str) -> list[Recorded]:
    """Return the files of a folder with a manifest."""
    return recorded_files(path.parent, read_manifest_alone(path.parent, remake), remake)


def _of_source(path: Path) -> list[Recorded]:
    """Return the archive that a source's files came from; a folder's files stand in a manifest of their own."""
    source = read_source(path)
    archive: dict[str, Any] = dict(source["archive"])
    remake = f"delete {archive.get('path')} and {path} and {AGAIN}"
    with reading(path, f"delete it and {AGAIN}"):
        place, digest = Path(archive["path"]), archive["sha256"]
    return _there([Recorded(place, digest, path, remake)])


def _there(files: list[Recorded]) -> list[Recorded]:
    """Return those of some downloads that are still there: once they were read they may be removed."""
    return [file for file in files if file.path.is_file()]


def _of_pins(path: Path) -> list[Recorded]:
    """Return the files whose digests were noted when they were first seen, by address or by path in the cache."""
    pins = read_pins(path)
    places = {key: path.parent / (key.rpartition("/")[2] if "://" in key else key) for key in pins}
    return _there([Recorded(place, pins[key], path, f"delete {place} and {AGAIN}") for key, place in places.items()])


def _of_md5(path: Path) -> list[Recorded]:
    """Return the file beside which a .md5 stands."""
    file = path.with_suffix("")
    digest = parse_md5(path.read_text(encoding="utf-8", errors="replace"), file.name)
    if digest is None or not file.is_file():
        return []
    return [Recorded(file, digest, path, f"delete {file} and the list of it in corpus/baseline, and {AGAIN}", "md5")]


def _of_blob(path: Path) -> list[Recorded]:
    """Return a content of the hub's cache, whose name is its digest."""
    algorithm = "sha256" if len(path.name) == 64 else "git"
    return [Recorded(path, path.name, path, f"delete {path} and {AGAIN}, which fetches it", algorithm)]
