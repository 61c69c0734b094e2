"""Inputs without end, or that grow as they are read: refused or passed by, soon, in 300 MB beyond the imports."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from helpers.configurations import ROOT
from helpers.corpus import HEAD, awkward_records
from helpers.tasks import NER, write_ner, write_sources

from hostile.forking import Started
from hostile.trials import MEMORY, SECONDS, judge


@pytest.fixture
def run(forkers, tmp_path):
    """Run a program; return its exit code and what it printed."""

    def start(program: str, *options: object) -> tuple[int, str]:
        log = tmp_path / "log"
        line = [str(option) for option in options]
        started = Started(str(ROOT / "scripts" / f"{program}.py"), line, str(tmp_path), str(log))
        started.seconds, started.memory = SECONDS, MEMORY
        return forkers[0].run(started), log.read_text(errors="replace")

    return start


@pytest.fixture
def refused(run, counts):
    """Run a program that must end with one line; return it."""

    def start(kind: str, program: str, *options: object) -> str:
        code, printed = run(program, *options)
        counts.add(kind, judge(code, printed))
        assert judge(code, printed) == "one line", printed[-2000:]
        return printed

    return start


def in_members(*parts: tuple[bytes, int]) -> bytes:
    """Return gzip of contents, each so many times: members are joined, so that gigabytes are made at once."""
    return b"".join(gzip.compress(content, mtime=0) * times for content, times in parts)


def parsed(*files: Path) -> tuple[object, ...]:
    return ("parse_baseline", *files, "--text", "full", "--output", "out.parquet", "--counts", "counts.json")


def test_a_record_of_a_hundred_megabytes(refused, tmp_path) -> None:
    start = f"{HEAD}<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>1</PMID><Article><ArticleTitle>".encode()
    path = tmp_path / "a.xml.gz"
    path.write_bytes(in_members((start, 1), (b"word " * 200_000, 100)))
    assert "one element has more than 16,777,216 bytes" in refused("endless input", *parsed(path))


def test_a_gigabyte_of_blanks_between_records(run, counts, tmp_path) -> None:
    [record] = awkward_records(8, 1)
    path = tmp_path / "a.xml.gz"
    ends = f"{HEAD}<PubmedArticleSet>{record}".encode(), b"</PubmedArticleSet>"
    path.write_bytes(in_members((ends[0], 1), (b" " * 2**24, 64), (ends[1], 1)))
    code, printed = run(*parsed(path))
    counts.add("endless input", "went on" if code == 0 else judge(code, printed))
    assert code == 0, printed
    assert json.loads((tmp_path / "counts.json").read_text())["citations"] == 1


@pytest.mark.parametrize("name", ["a.txt.gz", "a.jsonl.gz"])
def test_a_document_without_end(refused, tmp_path, name) -> None:
    (tmp_path / name).write_bytes(in_members((b" " * 2**24, 64)))
    options = ("--output", "out.parquet", "--counts", "counts.json")
    assert "has more than 67,108,864 bytes: split it" in refused(
        "endless input", "import_documents", tmp_path / name, *options
    )


def tar_bomb(path: Path) -> None:
    """A tar archive whose one member says that it has a terabyte, and has the beginning of it."""
    entry = tarfile.TarInfo("d/a.tsv")
    entry.size = 2**40
    path.write_bytes(in_members((entry.tobuf(), 1), (bytes(2**24), 8)))


def tar_without_end(path: Path) -> None:
    """A tar archive after whose end gigabytes of zeros follow."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("d/a.tsv"), io.BytesIO())
    path.write_bytes(in_members((stream.getvalue(), 1), (bytes(2**24), 160)))


def zip_bomb(path: Path) -> None:
    """A zip archive of many members that each unpack to 64 MiB."""
    content = bytes(2**26)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d/0.tsv", content)
    one = path.read_bytes()
    entries = io.BytesIO(one)
    with zipfile.ZipFile(entries, "a") as archive:  # all members are the same bytes of the file
        [first] = archive.infolist()
        for number in range(1, 200):
            other = zipfile.ZipInfo(f"d/{number}.tsv")
            for name in ("CRC", "compress_size", "file_size", "compress_type", "header_offset", "external_attr"):
                setattr(other, name, getattr(first, name))
            archive.filelist.append(other)
        archive._didModify = True  # type: ignore[attr-defined]
    path.write_bytes(entries.getvalue())


@pytest.mark.parametrize(
    ("bomb", "message"),
    [
        (tar_bomb, "unpacks to more than 8,589,934,592 bytes"),
        (tar_without_end, "goes on without end"),
        (zip_bomb, "unpacks to more than 8,589,934,592 bytes"),
    ],
)
def test_an_archive_that_would_fill_the_disk(refused, tmp_path, bomb, message) -> None:
    path = tmp_path / ("x.zip" if bomb is zip_bomb else "x.tar.gz")
    bomb(path)
    assert path.stat().st_size < 4_000_000
    write_sources(tmp_path / "t.tsv", {"name": "s", "version": "1"}, {"name": "s", "member": "d/a.tsv"})
    options = ("--source", "s", "--table", "t.tsv", "--url", path.as_uri(), "--cache", "cache", "--output", "s.json")
    assert message in refused("endless input", "fetch_task_data", *options)


@pytest.mark.parametrize("address", ["file:///dev/zero", "file:///dev/stdin", "pipe"])
def test_an_address_of_what_is_no_file(refused, tmp_path, address) -> None:
    if address == "pipe":
        os.mkfifo(tmp_path / "pipe")
        address = (tmp_path / "pipe").as_uri()
    write_sources(tmp_path / "t.tsv", {"name": "s", "version": "1"}, {"name": "s", "member": "d/a.tsv"})
    options = ("--source", "s", "--table", "t.tsv", "--url", address, "--cache", "cache", "--output", "s.json")
    refused("endless input", "fetch_task_data", *options)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + below] * 9)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
LOOP = "run: &a {models: *a}\n"
LONG = f"results_dir: [{', '.join(['x' * 1000] * 900)}]\n"


@pytest.mark.parametrize("text", [BOMB, LOOP, LONG, "a: " + "[" * 20_000], ids=["bomb", "loop", "long", "deep"])
def test_a_configuration_that_means_more_than_it_says(refused, tmp_path, text) -> None:
    (tmp_path / "own.yaml").write_text(text)
    refused("hostile configuration", "build_tables", "--configfile", "own.yaml")


def test_a_file_of_words_without_end(refused, tmp_path) -> None:
    root = write_ner(tmp_path)
    with (root / "ner" / "test.tsv").open("wb") as stream:
        stream.truncate(2**33)
    options = ("--dataset", "x", "--definition", json.dumps(NER), "--data", root, "--output", "out")
    assert "at most 268,435,456 are read" in refused("endless input", "prepare_task", *options)
