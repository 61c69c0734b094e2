"""Names, checksums, listings and transfers of a baseline, against a server that misbehaves on demand."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from helpers.corpus import serving, write_checksum

from compactbio.corpus.baseline import (
    cache_folder,
    configuration_block,
    file_name,
    list_baseline,
    local_folder,
    parse_checksum,
    parse_numbers,
)
from compactbio.corpus.baseline_files import fetch_batch, require_complete
from compactbio.downloads.transfer import MissingError, Retries, TransferError, fetch_file, md5_of_file
from compactbio.errors import UserError

QUICK = Retries(tries=4, first_wait_seconds=0.01)
CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    for number in (1, 2, 3):
        path = folder / file_name(2026, number)
        path.write_bytes(CONTENT + bytes([number]))
        write_checksum(path)
    with serving(folder) as state:
        yield state


def names_of(manifest: dict) -> list[str]:
    return [file["name"] for file in manifest["files"]]


def test_names_and_checksums():
    assert file_name(2026, 7) == "pubmed26n0007.xml.gz"
    digest = "0123456789abcdef0123456789ABCDEF"
    name = "pubmed26n0007.xml.gz"
    for text in (f"MD5({name})= {digest}\n", f"MD5 ({name}) = {digest}", f"{digest}  {name}\n", digest):
        assert parse_checksum(text, name) == digest.lower()
    for text in (f"MD5(pubmed26n0008.xml.gz)= {digest}", "<html>", "", digest[:-1]):
        assert parse_checksum(text, name) is None


def test_places():
    assert local_folder("file:///data/with%20space/") == Path("/data/with space")
    assert local_folder("file://relative/folder") == Path("relative/folder")
    assert local_folder("https://a.b/c/") is None
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


def test_a_batch_is_fetched_once(server, tmp_path):
    manifest = fetch_batch(server.url, 2026, [1, 3], tmp_path / "d", QUICK)
    require_complete(manifest, QUICK)
    assert names_of(manifest) == ["pubmed26n0001.xml.gz", "pubmed26n0003.xml.gz"]
    for file in manifest["files"]:
        assert Path(file["path"]).stat().st_size == file["bytes"] == len(CONTENT) + 1
        assert md5_of_file(Path(file["path"])) == file["md5"]
    before = len(server.requests)
    assert fetch_batch(server.url, 2026, [1, 3], tmp_path / "d", QUICK) == manifest
    assert len(server.requests) == before
    assert not list((tmp_path / "d").rglob("*.partial"))


def test_a_damaged_file_of_the_cache_is_fetched_again(server, tmp_path):
    manifest = fetch_batch(server.url, 2026, [1], tmp_path / "d", QUICK)
    path = Path(manifest["files"][0]["path"])
    path.write_bytes(b"damaged")
    assert fetch_batch(server.url, 2026, [1], tmp_path / "d", QUICK) == manifest
    assert path.read_bytes()[:-1] == CONTENT


def test_a_cut_transfer_is_resumed(server, tmp_path):
    name = file_name(2026, 1)
    server.faults[name] = ["cut", "503", "cut"]
    manifest = fetch_batch(server.url, 2026, [1], tmp_path / "d", QUICK)
    assert names_of(manifest) == [name]
    ranges = [asked for requested, asked in server.requests if requested == name]
    half = (len(CONTENT) + 1) // 2
    quarter = half + (len(CONTENT) + 1 - half) // 2
    assert ranges == [None, f"bytes={half}-", f"bytes={half}-", f"bytes={quarter}-"]


def test_a_partial_file_of_an_earlier_run_is_resumed(server, tmp_path):
    target = tmp_path / "d" / file_name(2026, 1)
    md5 = md5_of_file(server.folder / target.name)
    server.faults[target.name] = ["cut"]
    with pytest.raises(TransferError, match="given up after 1 tries"):
        fetch_file(server.url + target.name, target, md5, Retries(tries=1))
    assert not target.exists()
    fetch_file(server.url + target.name, target, md5, Retries(tries=1))
    assert server.requests[-1][1] is not None
    assert md5_of_file(target) == md5


def test_a_server_that_cannot_resume_starts_again(server, tmp_path):
    name = file_name(2026, 1)
    server.faults[name] = ["cut", "no range"]
    assert names_of(fetch_batch(server.url, 2026, [1], tmp_path / "d", QUICK)) == [name]


@pytest.mark.parametrize("rest", [b"wrong start", CONTENT + b"longer than the file"])
def test_an_unfit_partial_file_is_dropped(server, tmp_path, rest):
    target = tmp_path / "d" / file_name(2026, 1)
    target.parent.mkdir()
    target.with_name(f".{target.name}.partial").write_bytes(rest)
    fetch_file(server.url + target.name, target, md5_of_file(server.folder / target.name), QUICK)
    assert target.read_bytes()[:-1] == CONTENT


def test_a_wrong_digest_is_tried_twice_then_told(server, tmp_path):
    name = file_name(2026, 2)
    server.faults[name] = ["wrong"] * 2
    manifest = fetch_batch(server.url, 2026, [1, 2, 3], tmp_path / "d", QUICK)
    assert names_of(manifest) == [file_name(2026, 1), file_name(2026, 3)]
    with pytest.raises(UserError, match=rf"1 of 3 files.*\n.*{name}.*md5(.|\n)*are kept"):
        require_complete(manifest, QUICK)
    assert names_of(fetch_batch(server.url, 2026, [2], tmp_path / "d", QUICK)) == [name]


def test_a_flaky_server_is_waited_for(server, tmp_path):
    server.faults = {f"{file_name(2026, 1)}.md5": ["503", "503"], file_name(2026, 1): ["503"]}
    assert names_of(fetch_batch(server.url, 2026, [1], tmp_path / "d", QUICK))
    server.faults = {f"{file_name(2026, 2)}.md5": ["503"] * 9}
    manifest = fetch_batch(server.url, 2026, [2], tmp_path / "d", QUICK)
    assert "given up after 4 tries" in manifest["failed"][file_name(2026, 2)]
    assert manifest["missing"] == []


def test_a_missing_baseline_says_what_is_there_and_which_keys_to_set(server, tmp_path):
    with pytest.raises(MissingError):
        fetch_file(server.url + "none", tmp_path / "none", "", QUICK)
    manifest = fetch_batch(server.url, 2025, [1, 2], tmp_path / "d", QUICK)
    with pytest.raises(UserError) as caught:
        require_complete(manifest, QUICK)
    message = str(caught.value)
    for part in ("the 2026 baseline, 3 files (1-3)", "corpus.baseline.year", "corpus.baseline.files", "list_baseline"):
        assert part in message


def test_a_mirror_is_read_in_place(server, tmp_path):
    folder = server.folder
    url = f"file://{folder}"
    manifest = fetch_batch(url, 2026, [1, 2], tmp_path / "d", QUICK)
    assert [file["path"] for file in manifest["files"]] == [str(folder / file_name(2026, n)) for n in (1, 2)]
    assert not (tmp_path / "d").exists()
    (folder / file_name(2026, 2)).write_bytes(b"changed")
    (folder / f"{file_name(2026, 3)}.md5").unlink()
    manifest = fetch_batch(url, 2026, [1, 2, 3, 4], tmp_path / "d", QUICK)
    assert names_of(manifest) == [file_name(2026, 1), file_name(2026, 3)]
    assert manifest["missing"] == [file_name(2026, 4)]
    assert "copy it again" in manifest["failed"][file_name(2026, 2)]


def test_nobody_answers(tmp_path):
    manifest = fetch_batch("http://127.0.0.1:9/x/", 2026, [1], tmp_path, Retries(tries=2, first_wait_seconds=0.01))
    with pytest.raises(UserError, match="given up after 2 tries"):
        require_complete(manifest, QUICK)
