"""Archives: what is wanted comes out, what could harm is refused as a whole."""

import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest
from helpers.tasks import write, write_tar, zip_of

from compactbio.downloads.extraction import check_archive, check_member_name, extract_entry, read_entries
from compactbio.errors import UserError


def contents(path: Path) -> dict[str, bytes]:
    found = {}
    for entry in read_entries(path):
        with entry.open() as stream:
            found[entry.name] = stream.read()
    return found


def test_tar_zip_and_folder_give_the_same_files(tmp_path: Path) -> None:
    files = {"a/one.tsv": b"1", "a/b/two.tsv": b"2"}
    for name, content in files.items():
        write(tmp_path / "folder" / name, content)
    write(tmp_path / "x.zip", zip_of(files))
    assert contents(tmp_path / "folder") == files
    assert contents(write_tar(tmp_path / "x.tar.gz", files)) == files
    assert contents(tmp_path / "x.zip") == files


def test_nested_archives_are_opened_and_resource_forks_left_out(tmp_path: Path) -> None:
    inner = zip_of({"train/x.tsv": "x", "__MACOSX/train/._x.tsv": "fork"})
    outer = {"Corpus/train.zip": inner, "Corpus/._train.zip": b"fork", "Corpus/read.me": b"r"}
    for archive in (write(tmp_path / "c.zip", zip_of(outer)), write_tar(tmp_path / "c.tgz", outer)):
        assert contents(archive) == {"Corpus/train.zip/train/x.tsv": b"x", "Corpus/read.me": b"r"}


def test_archives_are_opened_three_deep_only(tmp_path: Path) -> None:
    content = zip_of({"x": "x"})
    for _ in range(3):
        content = zip_of({"inner.zip": content})
    with pytest.raises(UserError, match="3 deep only"):
        contents(write(tmp_path / "bomb.zip", content))


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize("name", ["../evil.tsv", "/tmp/evil.tsv", "a/../../evil.tsv", "..\\evil.tsv", "C:evil", "a/.."])
@pytest.mark.parametrize("kind", ["tar", "zip", "nested"])
def test_a_path_outside_is_refused_and_named(tmp_path: Path, name: str, kind: str) -> None:
    files = {"good.tsv": "x", name: "y"}
    archive = tmp_path / "archive"
    if kind == "tar":
        write_tar(archive, files)
    else:
        write(archive, zip_of(files) if kind == "zip" else zip_of({"in.zip": zip_of(files)}))
    with pytest.raises(UserError, match="holds a member with a path outside its folder") as error:
        contents(archive)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    archive = write_tar(tmp_path / "x.tar.gz", {"good.tsv": "x"}, special("bad.tsv", kind, "/etc/passwd"))
    with pytest.raises(UserError, match=r"holds a link or device, 'bad\.tsv'"):
        contents(archive)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        member = zipfile.ZipInfo("bad.tsv")
        member.create_system, member.external_attr = 3, 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(UserError, match="link or device"):
        contents(tmp_path / "x.zip")


def test_damage_is_an_error_that_names_the_archive(tmp_path: Path) -> None:
    data = bytes(range(256)) * 400
    whole = write_tar(tmp_path / "x.tar.gz", {"a": data, "b": data[::-1]}).read_bytes()
    for content in (whole[:-60], whole[: len(whole) // 2], b"<html>gone</html>", zip_of({"a": data})[:-30]):
        with pytest.raises(UserError, match=r"cut\.tar\.gz.*(damaged|no sound)"):
            contents(write(tmp_path / "cut.tar.gz", content))


def test_a_changed_byte_in_a_zip_is_noticed(tmp_path: Path) -> None:
    content = bytearray(zip_of({"a/b.tsv": bytes(range(256)) * 40}))
    content[80] ^= 0xFF
    with pytest.raises(UserError, match=r"a/b\.tsv is damaged or cut short"):
        for entry in read_entries(write(tmp_path / "x.zip", bytes(content))):
            extract_entry(entry, tmp_path / "out", "b.tsv")


def test_extraction_stays_in_its_folder(tmp_path: Path) -> None:
    archive = write(tmp_path / "x.zip", zip_of({"a": "x"}))
    for entry in read_entries(archive):
        assert extract_entry(entry, tmp_path / "out", "b/c").read_text() == "x"
        with pytest.raises(UserError, match="path outside"):
            extract_entry(entry, tmp_path / "out", "../c")
    for name in ("a/b.tsv", "./a", "a..b", "...", "a/ b"):
        check_member_name(name, "x")


def test_every_flipped_bit_of_a_compressed_tar_is_noticed(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar.gz", {f"d/{number}.tsv": f"{number}" * 400 for number in range(13)})
    whole, files = archive.read_bytes(), contents(archive)
    assert len(files) == 13
    generator = random.Random(3)
    noticed = 0
    for place in generator.sample(range(10, len(whole)), 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << generator.randrange(8)
        try:
            # in gzip's own header stands the name of the packed file, which is no content
            assert contents(write(archive, bytes(damaged))) == files and place < 30
        except UserError as error:
            assert "is damaged" in str(error) or "is no sound" in str(error)
            noticed += 1
    assert noticed >= 55


def test_a_damaged_header_of_a_plain_tar_does_not_hide_the_members_behind_it(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w") as tar:
        for name in ("a", "b", "c"):
            member = tarfile.TarInfo(name)
            member.size = 600
            tar.addfile(member, io.BytesIO(b"x" * 600))
    whole = archive.read_bytes()
    assert set(contents(archive)) == {"a", "b", "c"}
    for place in (0, 512 * 3, 512 * 3 + 150, 512 * 6 + 100):
        damaged = whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
        with pytest.raises(UserError, match=r"x\.tar (is damaged|is no sound)"):
            contents(write(archive, damaged))
    for length in (512 * 3, 512 * 9, 512 * 3 + 100):
        with pytest.raises(UserError, match=r"is damaged or cut short"):
            contents(write(archive, whole[:length]))


def test_what_is_larger_or_more_than_any_benchmark_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compactbio.downloads.extraction._MAX_FILE_BYTES", 1000)
    monkeypatch.setattr("compactbio.downloads.extraction._MAX_FILES", 3)
    bomb = zip_of({"a.tsv": bytes(1001)})
    for files in ({"a.tsv": bytes(1001)}, {"in.zip": bomb}):
        with pytest.raises(UserError, match="longer than 1,000 bytes"):
            check_archive(write(tmp_path / "x.zip", zip_of(files)), "x.zip")
    many = dict.fromkeys("abcd", "x")
    for archive in (write(tmp_path / "x.zip", zip_of(many)), write_tar(tmp_path / "x.tgz", many)):
        with pytest.raises(UserError, match="more than 3 members"):
            contents(archive)
