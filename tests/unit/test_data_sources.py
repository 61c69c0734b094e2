"""The table of sources: the shipped one serves the shipped configuration, members are found and verified."""

import hashlib
import json
from pathlib import Path

import pytest
from helpers.configurations import CONFIG, read
from helpers.mirror import serving
from helpers.tasks import chemprot_files, write, write_tar, zip_of

from compactbio.downloads.checksums import Digest
from compactbio.errors import UserError
from compactbio.tasks.data_sources import COLUMNS, fetch_source, read_sources

TABLE = CONFIG / "data_sources.tsv"


def table(folder: Path, *rows: dict[str, str]) -> Path:
    lines = ["\t".join(COLUMNS), *("\t".join(row.get(name, "") for name in COLUMNS) for row in rows)]
    return write(folder / "sources.tsv", "\n".join(lines) + "\n")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_shipped_table_holds_every_file_that_the_configuration_reads() -> None:
    sources = read_sources(TABLE)
    for name, definition in read()["datasets"].items():
        members = sources[definition["source"]].members
        if definition["layout"] == "gad":
            files = [f"{fold}/{part}.tsv" for fold in definition["folds"] for part in ("train", "test")]
        elif definition["layout"] == "chemprot":
            files = list(chemprot_files())
        else:
            files = list(definition["files"].values())
        for file in files:
            path = f"{definition['folder']}/{file}".lstrip("/")
            assert len(members[path]) == 64, (name, path)


def test_the_shipped_table_states_terms_and_names_the_hub_repositories() -> None:
    sources = read_sources(TABLE)
    assert "Courtesy of the U.S. National Library of Medicine" in sources["pubmed_baseline"].citation
    config = read()
    wanted = {entry["hub"]["repository"]: entry["hub"]["revision"] for entry in config["models"].values()}
    wanted |= {entry["hub"]["repository"]: entry["hub"]["revision"] for entry in config["checkpoints"].values()}
    assert {name: sources[name].version for name in wanted} == wanted


def test_members_are_found_verified_and_kept(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar.gz", {"outer/d/a/train.tsv": "A", "outer/d/b/train.tsv": "B", "other": "?"})
    path = table(
        tmp_path,
        {"name": "s", "version": "3", "licence": "free", "citation": "Someone"},
        {"name": "s", "member": "d/a/train.tsv", "sha256": digest("A")},
        {"name": "s", "member": "d/b/train.tsv"},
    )
    source = read_sources(path)["s"]
    manifest = fetch_source(source, tmp_path / "cache", path, f"file://{archive}")
    folder = Path(manifest["folder"])
    assert folder.parent == tmp_path / "cache" / "s" / "3"
    assert (folder / "d/a/train.tsv").read_text() == "A"
    assert (folder / "d/b/train.tsv").read_text() == "B"
    assert set(manifest["files"]) == {"d/a/train.tsv", "d/b/train.tsv"}
    assert manifest["files"]["d/b/train.tsv"]["sha256"] == digest("B")
    assert manifest["licence"] == "free"
    before = (folder / "d/a/train.tsv").stat().st_ino
    fetch_source(source, tmp_path / "cache", path, f"file://{archive}")
    assert (folder / "d/a/train.tsv").stat().st_ino == before
    (folder / "d/a/train.tsv").write_text("Z")
    fetch_source(source, tmp_path / "cache", path, f"file://{archive}")
    assert (folder / "d/a/train.tsv").read_text() == "A"


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_the_official_nested_form_of_chemprot_is_searched_by_name(tmp_path: Path, form: str) -> None:
    parts: dict[str, dict[str, str]] = {}
    for name, content in chemprot_files().items():
        part = "_".join(name.split("_")[:2])
        parts.setdefault(part, {})[f"{part}/{name}"] = content
    files = {f"ChemProt_Corpus/{part}.zip": zip_of(inside) for part, inside in parts.items()}
    if form == "zip":
        place = write(tmp_path / "ChemProt_Corpus.zip", zip_of(files))
    else:
        place = tmp_path / "unpacked"
        for name, content in files.items():
            write(place / name, content)
    source = read_sources(TABLE)["miniature_chemprot"]
    manifest = fetch_source(source, tmp_path / "cache", TABLE, f"file://{place}")
    found = {path.name: path.read_text() for path in Path(manifest["folder"]).glob("*.tsv")}
    assert found == chemprot_files()


def test_without_member_rows_everything_is_extracted(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar.gz", {"d/a.tsv": "A", "e.json": "B"})
    path = table(tmp_path, {"name": "s"})
    manifest = fetch_source(read_sources(path)["s"], tmp_path / "cache", path, f"file://{archive}")
    assert set(manifest["files"]) == {"d/a.tsv", "e.json"}


@pytest.mark.parametrize(
    ("files", "members", "message"),
    [
        ({"d/a": "B"}, {"d/a": digest("A")}, f"the file d/a has sha256 {digest('B')} where .* says {digest('A')}"),
        ({"x/a": "A"}, {"d/a": ""}, "does not hold d/a"),
        ({"x/a": "A", "y/a": "A"}, {"a": ""}, "holds a more than once: x/a, y/a"),
    ],
)
def test_wrong_members_are_refused(tmp_path: Path, files: dict, members: dict, message: str) -> None:
    archive = write_tar(tmp_path / "x.tar.gz", files)
    rows = [{"name": "s", "member": name, "sha256": value} for name, value in members.items()]
    path = table(tmp_path, {"name": "s", "version": "1"}, *rows)
    with pytest.raises(UserError, match=message):
        fetch_source(read_sources(path)["s"], tmp_path / "cache", path, f"file://{archive}")
    assert not list((tmp_path / "cache").rglob("manifest.json"))


def test_sources_that_cannot_be_fetched_say_what_to_do(tmp_path: Path) -> None:
    path = table(tmp_path, {"name": "s", "note": "ask the owners"}, {"name": "t", "url": "https://x.org/model"})
    sources = read_sources(path)
    with pytest.raises(UserError, match=r"no address for s \(ask the owners\)\. .* data_urls\.s: file:///"):
        fetch_source(sources["s"], tmp_path, path)
    with pytest.raises(UserError, match="another program fetches it"):
        fetch_source(sources["t"], tmp_path, path)
    with pytest.raises(UserError, match=r"/nowhere\.zip does not exist: correct data_urls\.s"):
        fetch_source(sources["s"], tmp_path, path, "file:///nowhere.zip")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"name": "s"}, {"name": "s"}], "line 3: s  is missing or occurs twice"),
        ([{"name": "s", "sha256": "abc"}], "line 2: sha256 must be 64 digits"),
        ([{"name": "s", "member": "a"}], "s has members but no row of its own"),
        ([{"name": "s"}, {"name": "s", "member": "../a"}], "path outside"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path: Path, rows: list[dict], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_sources(table(tmp_path, *rows))


def test_files_of_a_folder_on_a_server_are_fetched_each_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(
        tmp_path,
        {"name": "s", "version": "1", "url": "https://a.org/data/", "mirrors": "https://b.org/"},
        {"name": "s", "member": "train v1.json", "sha256": digest("train v1.json")},
        {"name": "s", "member": "dev.json", "sha256": digest("dev.json")},
    )
    asked = []

    def stand_in(urls: list[str], target: Path, *, expected: Digest, **_: object) -> str:
        asked.append((urls, expected.value))
        write(target, target.name)
        write(target.with_name(f".{target.name}.rejected"), str(len(asked)))
        return urls[0]

    monkeypatch.setattr("compactbio.tasks.data_sources.fetch_file", stand_in)
    source = read_sources(path)["s"]
    first, again = (fetch_source(source, tmp_path / "cache", path) for _ in range(2))
    assert asked[:2] == [
        (["https://a.org/data/train%20v1.json", "https://b.org/train%20v1.json"], digest("train v1.json")),
        (["https://a.org/data/dev.json", "https://b.org/dev.json"], digest("dev.json")),
    ]
    assert set(first["files"]) == {"train v1.json", "dev.json"}
    assert first == again and first["url"] == "https://a.org/data/"
    # got by hand: a folder of the user's own
    own = tmp_path / "own"
    for name in first["files"]:
        write(own / name, name)
    assert fetch_source(source, tmp_path / "cache", path, f"file://{own}/")["digest"] == first["digest"]
    write(own / "dev.json", "changed")
    with pytest.raises(UserError, match=r"dev\.json has sha256 .* where .* says"):
        fetch_source(source, tmp_path / "cache", path, f"file://{own}/")


def test_another_address_does_not_meet_the_first_ones_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path, {"name": "s", "version": "1", "url": "https://a.org/x.zip", "sha256": "0" * 64})
    asked = []

    def stand_in(urls: tuple[str, ...], target: Path, *, expected: Digest | None, **_: object) -> str:
        asked.append((urls, target, expected.value if expected else ""))
        write(target, zip_of({"a": urls[0]}))
        return urls[0]

    monkeypatch.setattr("compactbio.tasks.data_sources.fetch_file", stand_in)
    source = read_sources(path)["s"]
    folders = [
        Path(fetch_source(source, tmp_path / "cache", path, url)["folder"]) for url in (None, "https://b.org/x.zip")
    ]
    assert [(folder / "a").read_text() for folder in folders] == ["https://a.org/x.zip", "https://b.org/x.zip"]
    assert asked[0][1] != asked[1][1]
    assert [digests for _, _, digests in asked] == ["0" * 64, ""]


def test_what_the_table_has_no_digest_for_is_pinned_when_first_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compactbio.downloads.retries.time.sleep", lambda _: None)
    folder, cache = tmp_path / "server", tmp_path / "cache"
    first = write(folder / "x.zip", zip_of({"a": "1"})).read_bytes()
    with serving(folder) as server:
        path = table(tmp_path, {"name": "s", "version": "1", "url": f"{server.url}x.zip"})
        source = read_sources(path)["s"]
        server.faults["x.zip"] = ["html"]
        manifest = fetch_source(source, cache, path)
        lock_file = cache / "digests.lock.json"
        assert json.loads(lock_file.read_text()) == {"s/1/x.zip": hashlib.sha256(first).hexdigest()}
        archive = Path(manifest["archive"]["path"])
        archive.unlink()
        write(folder / "x.zip", zip_of({"a": "2"}))
        with pytest.raises(UserError, match=r"digests\.lock\.json, as first seen \(remove its line of s/1/x\.zip"):
            fetch_source(source, cache, path)
        lock_file.unlink()
        assert fetch_source(source, cache, path)["digest"] != manifest["digest"]
        # members whose digests the table gives decide by themselves: the archive may be packed anew
        path = table(
            tmp_path,
            {"name": "s", "version": "2", "url": f"{server.url}x.zip"},
            {"name": "s", "member": "a", "sha256": digest("2")},
        )
        fetch_source(read_sources(path)["s"], cache, path)
        assert "s/2/x.zip" not in json.loads(lock_file.read_text())
        # nor is a file kept that is no archive, whatever its name
        path = table(tmp_path, {"name": "s", "version": "3", "url": "https://a.org/x.zip"})
        write(folder / "get", "<html>")
        with pytest.raises(UserError, match="HTML page"):
            fetch_source(read_sources(path)["s"], cache, path, f"{server.url}get?id=3")


def test_a_source_that_never_ends_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, {"name": "s"})
    with pytest.raises(UserError, match="neither a file nor a folder"):
        fetch_source(read_sources(path)["s"], tmp_path, path, "file:///dev/zero")
