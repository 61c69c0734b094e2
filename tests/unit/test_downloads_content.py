"""What the downloader rests on: pinned digests, contents that are what their names say, md5 files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from helpers.tasks import write_tar, zip_of

from compactbio.downloads.checksums import parse_md5
from compactbio.downloads.content import archive_fault, content_fault
from compactbio.downloads.pins import pinned
from compactbio.downloads.web import file_name_of, local_path
from compactbio.errors import UserError


def test_pins_are_decided_once(tmp_path):
    lock = tmp_path / "digests.lock.json"
    assert [pinned(lock, "a", lambda: "1"), pinned(lock, "a", lambda: "2"), pinned(lock, "b", lambda: "3")] == [*"113"]
    assert json.loads(lock.read_text()) == {"a": "1", "b": "3"}
    lock.write_text("[]")
    with pytest.raises(UserError, match="remove it"):
        pinned(lock, "a", lambda: "4")


def test_contents_are_what_names_say(tmp_path):
    xml, page = b"<?xml version='1.0'?><a/>", b"  <!-- x --><HTML lang='en'>"
    sound = {
        "a.xml.gz": gzip.compress(xml),
        "a.json": b'\xef\xbb\xbf [1, {"a": 2}]\n',
        "a.html": page,
        "a.zip": zip_of({"x": "y"}),
        "a.tsv": b"<b>bold</b>\tx",
    }
    for name, content in sound.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert content_fault(path, name) == "", name
    unsound = {
        "b.xml.gz": (gzip.compress(page), "holds an HTML page"),
        "c.xml.gz": (gzip.compress(b"\x00\x01random"), "does not begin like XML"),
        "l.xml.gz": (gzip.compress(xml + b"<b"), "which XML does not"),
        "d.xml.gz": (gzip.compress(gzip.compress(xml)), "compressed twice"),
        "e.xml.gz": (gzip.compress(xml)[:-3], "ends too early"),
        "f.xml.gz": (gzip.compress(xml) + b"tail" * 9, "gzip"),
        "g.gz": (gzip.compress(b""), "empty"),
        "h.json": (b'{"a": [1, 2', "which JSON does not"),
        "i.zip": (sound["a.zip"][:-5], "no sound tar or zip archive"),
        "j.tsv": (page, "HTML page"),
        "k.tsv": (b"", "is empty"),
    }
    for name, (content, message) in unsound.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert message in content_fault(path, name), name
    whole = write_tar(tmp_path / "download", {"a": b"x" * 9000})
    assert archive_fault(whole, "download") == ""
    whole.write_bytes(whole.read_bytes()[:-20])
    assert "damaged" in archive_fault(whole, "download")


def test_names_and_local_paths():
    assert file_name_of("https://x.org/a/data%20sets.tar.gz?v=2#top", "y") == "data sets.tar.gz"
    assert file_name_of("https://x.org/", "y") == file_name_of("https://x.org/%2E%2E", "y") == "y"
    assert file_name_of("https://x.org/a%2F..%2Fb", "y") == "b"
    assert local_path("file:///data/a%20b.zip") == Path("/data/a b.zip")
    assert local_path("file://localhost/data/x.zip") == Path("/data/x.zip")
    assert local_path("file://results/x.zip") == Path("results/x.zip")
    assert local_path("https://x.org/x.zip") is None


def test_checksums_of_every_form():
    digest = "0123456789abcdef0123456789ABCDEF"
    name = "pubmed26n0007.xml.gz"
    forms = (
        f"MD5({name})= {digest}\n",
        f"MD5 ({name}) = {digest}",
        f"MD5(baseline/{name})= {digest}",
        f"MD5 (/pub/baseline/{name}) = {digest}",
        f"{digest}  {name}\n",
        f"{digest} *{name}",
        f"{digest}  ./{name}\r\n",
        f"{digest}  /pub/base line/{name}",
        digest,
        f"\ufeff{digest}  {name}",
        f"{digest[::-1]}  other.gz\n{digest}  {name}\n",
    )
    for text in forms:
        assert parse_md5(text, name) == digest.lower(), text
    for text in (f"MD5(pubmed26n0008.xml.gz)= {digest}", "<html>", "", digest[:-1], f"{digest}\n{digest}"):
        assert parse_md5(text, name) is None, text
