"""Names, listings and files of a baseline, against a server that misbehaves on demand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml
from helpers.corpus import write_checksum
from helpers.mirror import serving

from compactbio.corpus.baseline import cache_folder, configuration_block, file_name, list_baseline, parse_numbers
from compactbio.corpus.baseline_files import fetch_baseline_files, read_baseline_manifest, require_complete
from compactbio.downloads.checksums import digest_of_file
from compactbio.downloads.retries import Patience
from compactbio.errors import UserError
from compactbio.files import write_json

QUICK = Patience(tries=4, first_wait_seconds=0.01)
WORDS = "".join(f" word{number}" for number in range(20_000))


def content(number: int) -> bytes:
    return gzip.compress(f"<PubmedArticleSet>{number}{WORDS}</PubmedArticleSet>".encode(), mtime=0)


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    for number in (1, 2, 3):
        path = folder / file_name(2026, number)
        path.write_bytes(content(number))
        write_checksum(path)
    with serving(folder) as state:
        yield state


def names_of(manifest: dict) -> list[str]:
    return [file["name"] for file in manifest["files"]]


def test_names_and_places():
    assert file_name(2026, 7) == "pubmed26n0007.xml.gz"
    assert cache_folder(Path("d"), "https://ftp.x.gov/pubmed/baseline/", 2026) == Path(
        "d/pubmed/2026/ftp.x.gov_pubmed_baseline"
    )


def test_numbers():
    assert parse_numbers("1-3,7, 9-9") == [1, 2, 3, 7, 9]
    for text in ("", "a", "3-1", "1,,2"):
        with pytest.raises(UserError, match="1-20,25"):
            parse_numbers(text)


def test_listing_is_printed_as_a_block_to_paste(server, tmp_path):
    assert list_baseline(server.url) == {2026: [1, 2, 3]}
    assert list_baseline(f"file://{tmp_path / 'server'}") == {2026: [1, 2, 3]}
    block = yaml.safe_load(configuration_block("https://a.b/c", 2026, [1, 2, 3]))["corpus"]["baseline"]
    assert block == {"base_url": "https://a.b/c/", "year": 2026, "files": 3, "numbers": None}
    assert yaml.safe_load(configuration_block("https://a.b/c", 2026, [1, 3]))["corpus"]["baseline"]["numbers"] == [1, 3]
    with pytest.raises(UserError, match="no folder"):
        list_baseline(f"file://{tmp_path / 'none'}")


def test_files_are_fetched_once(server, tmp_path):
    manifest = fetch_baseline_files(server.url, 2026, [1, 3], tmp_path / "d", QUICK)
    require_complete(manifest, QUICK)
    assert names_of(manifest) == ["pubmed26n0001.xml.gz", "pubmed26n0003.xml.gz"]
    for file in manifest["files"]:
        path = Path(file["path"])
        assert path.stat().st_size == file["bytes"]
        assert [digest_of_file(path, "md5"), digest_of_file(path, "sha256")] == [file["md5"], file["sha256"]]
    before = len(server.requests)
    assert fetch_baseline_files(server.url, 2026, [1, 3], tmp_path / "d", QUICK) == manifest
    assert len(server.requests) == before
    assert not list((tmp_path / "d").rglob(".*"))


def test_a_damaged_file_of_the_cache_is_fetched_again(server, tmp_path):
    manifest = fetch_baseline_files(server.url, 2026, [1], tmp_path / "d", QUICK)
    path = Path(manifest["files"][0]["path"])
    path.write_bytes(b"damaged")
    assert fetch_baseline_files(server.url, 2026, [1], tmp_path / "d", QUICK) == manifest
    assert path.read_bytes() == content(1)


def test_a_cut_transfer_is_resumed_by_the_next_start(server, tmp_path):
    name = file_name(2026, 1)
    server.faults[name] = ["cut"]
    failed = fetch_baseline_files(server.url, 2026, [1], tmp_path / "d", Patience(tries=1))
    assert "given up after 1 tries" in failed["failed"][name]
    assert names_of(fetch_baseline_files(server.url, 2026, [1], tmp_path / "d", QUICK)) == [name]
    assert server.requests[-1] == (name, f"bytes={len(content(1)) // 2}-")


@pytest.mark.parametrize("rest", [b"wrong start", content(1) + b"longer than the file"])
def test_an_unfit_partial_file_is_dropped(server, tmp_path, rest):
    target = cache_folder(tmp_path / "d", server.url, 2026) / file_name(2026, 1)
    target.parent.mkdir(parents=True)
    target.with_name(f".{target.name}.partial").write_bytes(rest)
    fetch_baseline_files(server.url, 2026, [1], tmp_path / "d", QUICK)
    assert target.read_bytes() == content(1)


def test_a_wrong_file_is_fetched_twice_then_reported(server, tmp_path):
    name = file_name(2026, 2)
    server.faults[name] = ["flipped"] * 2
    manifest = fetch_baseline_files(server.url, 2026, [1, 2, 3], tmp_path / "d", QUICK)
    assert names_of(manifest) == [file_name(2026, 1), file_name(2026, 3)]
    with pytest.raises(UserError, match=rf"1 of 3 files.*\n.*{name}.*is not the file wanted(.|\n)*are kept"):
        require_complete(manifest, QUICK)
    write_json(tmp_path / "m.json", manifest)
    with pytest.raises(UserError, match=f"lacks {name}"):
        read_baseline_manifest(tmp_path / "m.json")
    assert names_of(fetch_baseline_files(server.url, 2026, [2], tmp_path / "d", QUICK)) == [name]


def test_a_sound_file_with_another_md5_is_refused(server, tmp_path):
    (server.folder / file_name(2026, 2)).write_bytes(content(1))
    manifest = fetch_baseline_files(server.url, 2026, [2], tmp_path / "d", QUICK)
    assert "its .md5 file" in manifest["failed"][file_name(2026, 2)]


def test_a_flaky_server_is_waited_for(server, tmp_path):
    checksum = f"{file_name(2026, 1)}.md5"
    server.faults = {checksum: ["503", "html", "503"], file_name(2026, 1): ["503"]}
    assert names_of(fetch_baseline_files(server.url, 2026, [1], tmp_path / "d", QUICK))
    server.faults = {f"{file_name(2026, 2)}.md5": ["503"] * 9, f"{file_name(2026, 3)}.md5": ["html"] * 9}
    manifest = fetch_baseline_files(server.url, 2026, [2, 3], tmp_path / "d", QUICK)
    assert "given up after 4 tries" in manifest["failed"][file_name(2026, 2)]
    assert "is no checksum of" in manifest["failed"][file_name(2026, 3)]
    assert manifest["missing"] == []


def test_a_server_without_checksums_is_taken_with_a_warning_and_pinned(server, tmp_path, caplog):
    name = file_name(2026, 1)
    (server.folder / f"{name}.md5").unlink()
    server.faults[name] = ["html", "cut"]
    manifest = fetch_baseline_files(server.url, 2026, [1], tmp_path / "d", QUICK)
    assert names_of(manifest) == [name] and "no .md5 beside it on the server" in caplog.text
    path = Path(manifest["files"][0]["path"])
    assert json.loads((path.parent / "digests.lock.json").read_text()) == {
        server.url + name: manifest["files"][0]["sha256"]
    }
    requests = len(server.requests)
    assert fetch_baseline_files(server.url, 2026, [1], tmp_path / "d", QUICK) == manifest
    assert server.requests[requests:] == [(f"{name}.md5", None)]
    path.unlink()
    (server.folder / name).write_bytes(content(5))
    refused = fetch_baseline_files(server.url, 2026, [1], tmp_path / "d", QUICK)
    assert "digests.lock.json, as first seen" in refused["failed"][name] and refused["missing"] == []


def test_a_missing_baseline_says_what_is_there_and_which_keys_to_set(server, tmp_path):
    manifest = fetch_baseline_files(server.url, 2025, [1, 2], tmp_path / "d", QUICK)
    with pytest.raises(UserError) as caught:
        require_complete(manifest, QUICK)
    message = str(caught.value)
    for part in ("the 2026 baseline, 3 files (1-3)", "corpus.baseline.year", "corpus.baseline.files", "list_baseline"):
        assert part in message


def test_a_mirror_is_read_in_place(server, tmp_path):
    folder = server.folder
    url = f"file://{folder}"
    manifest = fetch_baseline_files(url, 2026, [1, 2], tmp_path / "d", QUICK)
    assert [file["path"] for file in manifest["files"]] == [str(folder / file_name(2026, n)) for n in (1, 2)]
    assert not (tmp_path / "d").exists()
    (folder / file_name(2026, 2)).write_bytes(b"changed")
    (folder / f"{file_name(2026, 3)}.md5").unlink()
    manifest = fetch_baseline_files(url, 2026, [1, 2, 3, 4], tmp_path / "d", QUICK)
    assert names_of(manifest) == [file_name(2026, 1), file_name(2026, 3)]
    assert manifest["missing"] == [file_name(2026, 4)]
    assert "Copy it again" in manifest["failed"][file_name(2026, 2)]


def test_nobody_answers(tmp_path):
    manifest = fetch_baseline_files(
        "http://127.0.0.1:9/x/", 2026, [1], tmp_path, Patience(tries=2, first_wait_seconds=0.01)
    )
    with pytest.raises(UserError, match="given up after 2 tries"):
        require_complete(manifest, QUICK)
