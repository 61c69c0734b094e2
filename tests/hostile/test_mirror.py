"""Mirrors that cut, lie, swap pages and give up: what is fetched is whole, or its program ends in one line."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.damage import Ended, start
from helpers.mirror import Mirror, serving
from helpers.tasks import write_sources, write_tar

from hostile.table import Counts
from hostile.writers import baseline

FAULTS = ["cut", "unframed cut", "html", "wrong", "flipped", "encoded", "503", "429 after 1", "500", "416"]
ALWAYS = 40  # more requests than any program makes


class Fetch:
    """A program that fetches a file from a mirror, in a folder of its own."""

    def __init__(self, program: str, options: list[object], wanted: str) -> None:
        self.program, self.options, self.wanted = program, options, wanted

    def begin(self, folder: Path) -> Ended:
        """Start it with its cache and its manifest in a folder."""
        return start(self.program, [*self.options, *self.places(folder)])

    def places(self, folder: Path) -> list[object]:
        """Return the options that say where it writes."""
        cache = "--downloads" if self.program == "download_baseline" else "--cache"
        return [cache, folder / "cache", "--output", folder / "manifest.json"]

    def digests(self, folder: Path) -> set[str]:
        """Return the digests of what was fetched."""
        files = [path for path in (folder / "cache").rglob("*") if path.is_file() and path.stat().st_size > 0]
        return {hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(params=["download_baseline", "fetch_task_data"])
def fetch(request: pytest.FixtureRequest, server: Mirror, tmp_path: Path) -> Fetch:
    if request.param == "download_baseline":
        first = sorted(baseline(tmp_path / "made").iterdir())
        for path in first:
            shutil.copy(path, server.folder)
        [name, *_] = [path.name for path in first if path.suffix == ".gz"]
        options = ["--base-url", server.url, "--year", "2026", "--numbers", "1", "--tries", "3", "--first-wait", "0.01"]
        return Fetch("download_baseline", options, name)
    archive = write_tar(server.folder / "genes.tar.gz", {"d/a.tsv": "A" * 5000, "d/b.tsv": "B"})
    table = write_sources(tmp_path / "sources.tsv", {"name": "s", "version": "1"}, {"name": "s", "member": "d/a.tsv"})
    return Fetch(
        "fetch_task_data", ["--source", "s", "--table", table, "--url", server.url + archive.name], archive.name
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mirror]:
    (tmp_path / "server").mkdir()
    with serving(tmp_path / "server") as state:
        yield state


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits between tries, which are not waited."""
    asked: list[float] = []
    monkeypatch.setattr("compactbio.downloads.retries.time.sleep", asked.append)
    return asked


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "always"])
def test_what_a_bad_mirror_gives_is_made_good_or_named(
    fetch: Fetch, server: Mirror, counts: Counts, tmp_path: Path, lasting: bool
) -> None:
    """A fault that lasts ends in one line; the next start, with a sound mirror, has what it would have had."""
    assert fetch.begin(tmp_path / "sound").code == 0
    sound = fetch.digests(tmp_path / "sound")
    for number, fault in enumerate(FAULTS):
        folder = tmp_path / str(number)
        server.faults[fetch.wanted] = [fault] * (ALWAYS if lasting else 1)
        ended = fetch.begin(folder)
        first = "traceback" if ended.trace else "went on" if ended.code == 0 else "one line"
        if ended.code != 0 and not any(fetch.wanted in line for line in ended.errors):
            first = "unnamed"
        if ended.code == 0 and not sound <= fetch.digests(folder):
            first = "silent"
        server.faults.clear()
        again = fetch.begin(folder)
        second = "sound" if again.code == 0 and sound <= fetch.digests(folder) else "locked"
        counts.add(f"bad mirror, {'lasting' if lasting else 'once'}", first, second)
        assert (first, second) in (("went on", "sound"), ("one line", "sound")), (fault, ended, again)
        assert lasting or first == "went on", (fault, ended)
