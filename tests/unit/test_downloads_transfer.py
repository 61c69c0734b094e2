"""The downloader against a server that cuts, lies, drips, redirects and changes its files."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from helpers.mirror import Mirror, serving

from compactbio.downloads.checksums import Digest
from compactbio.downloads.retries import MissingError, Patience, TransferError, asked_wait
from compactbio.downloads.transfer import fetch_file
from compactbio.downloads.web import read_text
from compactbio.locks import locked

SCRIPTS = Path(__file__).parents[2] / "scripts"
QUICK = Patience(tries=4, first_wait_seconds=0.01)
LINES = "".join(f"line {number}\n" for number in range(20_000)).encode()
CONTENT = gzip.compress(LINES, mtime=0)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "data.txt.gz"


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT)
    with serving(folder) as state:
        yield state


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """Waits between tries, which are not waited."""
    asked: list[float] = []
    monkeypatch.setattr("compactbio.downloads.retries.time.sleep", asked.append)
    return asked


def fetch(server: Mirror, tmp_path: Path, *, known: bool = False, patience: Patience = QUICK) -> Path:
    target = tmp_path / "cache" / NAME
    expected = Digest("sha256", SHA256, "the table") if known else None
    fetch_file([server.url + NAME], target, expected=expected, patience=patience)
    return target


def left_beside(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if path != target)


def test_a_file_is_fetched_once_and_leaves_nothing_else(server, tmp_path):
    for _ in range(2):
        assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.requests == [(NAME, None)]
    assert left_beside(tmp_path / "cache" / NAME) == []


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    "faults",
    [
        ["cut"],
        ["cut", "503", "cut"],
        ["unframed cut"],
        ["unframed cut", "unframed cut"],
        ["unframed"],
        ["html"],
        ["wrong"],
        ["flipped"],
        ["encoded"],
        ["cut", "no range"],
        ["cut", "wrong range"],
        ["416", "500"],
        ["cut", "416"],
        ["flipped", "unframed cut", "html"],
    ],
    ids="-".join,
)
def test_what_goes_wrong_is_made_good(server, tmp_path, waits, faults, known):
    server.faults[NAME] = list(faults)
    target = fetch(server, tmp_path, known=known)
    assert target.read_bytes() == CONTENT
    assert left_beside(target) == []
    assert len(waits) == len(server.requests) - 1 or faults == ["unframed"]


def test_a_cut_transfer_goes_on_where_it_stopped(server, tmp_path, waits):
    server.faults[NAME] = ["cut", "cut"]
    fetch(server, tmp_path)
    half = len(CONTENT) // 2
    quarter = half + (len(CONTENT) - half) // 2
    assert server.requests == [(NAME, None), (NAME, f"bytes={half}-"), (NAME, f"bytes={quarter}-")]
    assert server.if_range == [None, server.etag(NAME), server.etag(NAME)]
    assert all(0.01 * 2**n <= wait <= 0.01 * 2**n + 0.005 for n, wait in enumerate(waits))


def test_a_cut_body_without_length_goes_on_too(server, tmp_path, waits):
    server.faults[NAME] = ["unframed cut"]
    fetch(server, tmp_path)
    assert server.requests[1] == (NAME, f"bytes={len(CONTENT) // 2}-")


def test_a_text_without_length_is_taken_with_a_warning(server, tmp_path, caplog):
    (server.folder / "a.tsv").write_text("a\tb\n")
    server.faults["a.tsv"] = ["unframed"]
    fetch_file([server.url + "a.tsv"], tmp_path / "a.tsv", patience=QUICK)
    assert "neither a length nor a digest" in caplog.text


def test_without_a_tag_only_a_known_digest_lets_it_go_on(server, tmp_path, waits):
    server.tag = False
    server.faults[NAME] = ["cut"]
    fetch(server, tmp_path)
    assert [asked for _, asked in server.requests] == [None, None]
    (tmp_path / "cache" / NAME).unlink()
    server.requests.clear()
    server.faults[NAME] = ["cut"]
    fetch(server, tmp_path, known=True)
    assert server.requests[1][1] == f"bytes={len(CONTENT) // 2}-"


def test_a_file_that_changed_meanwhile_is_begun_again(server, tmp_path, waits):
    server.faults[NAME] = ["cut"]
    with pytest.raises(TransferError, match=f"cut short after .* of {len(CONTENT):,} bytes|broke"):
        fetch(server, tmp_path, patience=Patience(tries=1))
    (server.folder / NAME).write_bytes(gzip.compress(b"new"))
    assert gzip.decompress(fetch(server, tmp_path).read_bytes()) == b"new"


def test_a_server_that_ignores_if_range_is_caught_by_its_tag(server, tmp_path, waits):
    server.faults[NAME] = ["cut"]
    with pytest.raises(TransferError):
        fetch(server, tmp_path, patience=Patience(tries=1))
    note = tmp_path / "cache" / f".{NAME}.partial.json"
    (server.folder / NAME).write_bytes(gzip.compress(LINES[::-1], mtime=0))
    noted = json.loads(note.read_text())
    ignoring = server.etag(NAME)
    server.etag = lambda name: ignoring  # type: ignore[method-assign]
    note.write_text(json.dumps(noted | {"validator": ignoring}))  # what it would send after ignoring If-Range ...
    partial = note.with_name(f".{NAME}.partial")
    assert partial.stat().st_size > 0
    target = fetch(server, tmp_path)  # ... is no sound gzip, so it is fetched from its start
    assert gzip.decompress(target.read_bytes()) == LINES[::-1]


def test_what_is_not_the_file_twice_is_named_and_kept_aside(server, tmp_path, waits):
    for fault, message in (("html", "it is an HTML page"), ("flipped", "not sound gzip"), ("wrong", "it is not gzip")):
        server.faults[NAME] = [fault] * 9
        with pytest.raises(TransferError, match=f"is not the file wanted: .*{message}"):
            fetch(server, tmp_path)
        assert not (tmp_path / "cache" / NAME).exists()
        assert left_beside(tmp_path / "cache" / NAME) == [f".{NAME}.rejected"]
    server.faults.clear()
    target = fetch(server, tmp_path)
    assert target.read_bytes() == CONTENT and left_beside(target) == []


def test_another_release_is_refused_with_both_digests(server, tmp_path, waits):
    expected = Digest("sha256", "0" * 64, "the table")
    with pytest.raises(TransferError, match=f"sha256 {SHA256} where the table has {'0' * 64}"):
        fetch_file([server.url + NAME], tmp_path / NAME, expected=expected, patience=QUICK)
    assert len(server.requests) == 2


def test_an_unsound_file_in_the_cache_is_fetched_again(server, tmp_path):
    target = tmp_path / "cache" / NAME
    target.parent.mkdir()
    for old in (b"<html>", CONTENT[:-9], b""):
        target.write_bytes(old)
        assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_slow_drip_ends_by_a_limit_on_progress(server, tmp_path):
    server.faults[NAME] = ["drip"]
    patience = Patience(tries=2, first_wait_seconds=0.01, window_seconds=0.5, window_bytes=1000)
    started = time.monotonic()
    assert fetch(server, tmp_path, patience=patience).read_bytes() == CONTENT
    assert time.monotonic() - started < 5
    assert server.requests[1][1] is not None  # what dripped was kept


def test_what_came_before_a_kill_is_gone_on_with(server, tmp_path):
    server.faults[NAME] = ["drip"]
    program = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "from pathlib import Path\nfrom compactbio.downloads.transfer import fetch_file\n"
        "fetch_file([sys.argv[1]], Path(sys.argv[2]))"
    )
    target = tmp_path / "cache" / NAME
    process = subprocess.Popen([sys.executable, "-c", program, server.url + NAME, str(target)])
    partial = target.with_name(f".{NAME}.partial")
    waited_until = time.monotonic() + 20
    while time.monotonic() < waited_until and not server.requests:
        time.sleep(0.05)
    time.sleep(0.5)
    process.kill()
    process.wait()
    assert partial.exists() and not target.exists()
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert left_beside(target) == []


def test_what_a_kill_left_beside_a_whole_file_goes(server, tmp_path):
    target = tmp_path / "cache" / NAME
    fetch_file([f"{server.url}{NAME}"], target)
    for name in (f".{NAME}.partial.json", f".{NAME}.lock"):
        target.with_name(name).touch()
    with locked(target):  # somebody fetches it anew
        fetch_file([f"{server.url}{NAME}"], target)
        assert len(list(target.parent.iterdir())) == 3
    target.with_name(f".{NAME}.lock").touch()
    fetch_file([f"{server.url}{NAME}"], target)
    assert list(target.parent.iterdir()) == [target]


def test_silence_ends_by_a_limit(server, tmp_path):
    server.drip_seconds = 3.0
    server.faults[NAME] = ["drip"] * 2
    patience = Patience(tries=2, first_wait_seconds=0.01, silence_seconds=0.2)
    with pytest.raises(TransferError, match=r"given up after 2 tries.*broke"):
        fetch(server, tmp_path, patience=patience)


def test_the_server_says_how_long_to_wait(server, tmp_path, waits):
    server.faults[NAME] = ["503 after 7", "429 after 1000000", "503 after soon"]
    fetch(server, tmp_path)
    assert waits[:2] == [7.0, 900.0] and waits[2] < 1
    assert 50 < asked_wait(formatdate(time.time() + 60, usegmt=True)) <= 60
    assert asked_wait(formatdate(time.time() - 60)) == asked_wait("") == 0


def test_redirects_lead_to_http_only(server, tmp_path, waits):
    server.faults["moved"] = [f"to {server.url}{NAME}"]
    fetch_file([server.url + "moved"], tmp_path / "cache" / NAME, patience=QUICK)
    for goal in ("ftp://127.0.0.1/x", "file:///etc/passwd", "gopher://127.0.0.1/"):
        server.faults["moved"] = [f"to {goal}"]
        with pytest.raises(TransferError, match=f"redirects to {goal}.*correct the address"):
            fetch_file([server.url + "moved"], tmp_path / "y", patience=QUICK)
    server.faults["moved"] = ["to moved"] * 99
    with pytest.raises(TransferError, match="redirects"):
        fetch_file([server.url + "moved"], tmp_path / "y", patience=QUICK)
    assert not waits


def test_https_does_not_lead_to_http():
    import requests

    from compactbio.downloads.web import _session

    response = requests.Response()
    response.url, response.status_code = "https://a.org/x", 302
    response.headers["Location"] = "http://a.org/x"
    with pytest.raises(requests.exceptions.InvalidSchema, match="from https to http"):
        _session().get_redirect_target(response)
    response.headers["Location"] = "/y"
    assert _session().get_redirect_target(response) == "/y"


def test_missing_files_and_refusals_are_not_asked_for_again(server, tmp_path, waits):
    with pytest.raises(MissingError, match=r"none does not exist \(404\)"):
        fetch_file([server.url + "none"], tmp_path / "x", patience=QUICK)
    server.faults[NAME] = ["403"]
    with pytest.raises(TransferError, match="refuses with HTTP 403"):
        fetch(server, tmp_path)
    with pytest.raises(TransferError):
        fetch_file(["httpx://127.0.0.1/x"], tmp_path / "x", patience=QUICK)
    assert not waits


def test_a_mirror_helps(server, tmp_path, waits):
    urls = ["http://127.0.0.1:9/x", f"{server.url}none", f"{server.url}{NAME}?2"]
    assert fetch_file(urls, tmp_path / NAME, patience=QUICK) == urls[2]
    with pytest.raises(TransferError, match=r"given up after 4 tries.*; .*none does not exist"):
        fetch_file(urls[:2], tmp_path / "y.gz", patience=QUICK)


def test_two_at_once_fetch_once(server, tmp_path):
    threads = [threading.Thread(target=fetch, args=(server, tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert (tmp_path / "cache" / NAME).read_bytes() == CONTENT


def test_progress_is_logged(server, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("compactbio.downloads.web.LOG_EVERY_SECONDS", 0.0)
    with caplog.at_level(logging.INFO):
        fetch(server, tmp_path)
    assert f"of {len(CONTENT):,} bytes (" in caplog.text and "s left" in caplog.text


def test_a_listing_is_read_without_its_mark(server, tmp_path, waits):
    (server.folder / "list").write_bytes(b"\xef\xbb\xbfa\nb")
    server.faults["list"] = ["cut", "503"]
    assert read_text(server.url + "list", QUICK) == "a\nb"
