"""Files that are complete when they exist: digests, temporary names, manifests, JSON and YAML."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NotRequired, TypedDict, Unpack

import yaml

from compactbio.digests import AGAIN, MEMORY, Recorded, require_same, sha256_of_file
from compactbio.errors import UserError, require_file
from compactbio.file_errors import writing
from compactbio.forms import LARGEST_TEXT, parse_json, require_few, require_form, whole_characters
from compactbio.locks import locked
from compactbio.temporaries import new_file, new_folder, umask

MANIFEST = "manifest.json"
LARGEST_YAML = 2**20  # bytes, which take the parser a minute; the paper's configuration has 2**15


class FileFacts(TypedDict):
    """What a manifest says of a file."""

    bytes: int
    sha256: str


class Facts(TypedDict, total=False):
    """What a manifest says of its folder beside the files, each kind of folder some of it."""

    kind: str  # of models: checkpoint, finetuned, quantised
    architecture: str
    tokenizer_digest: str  # of all that decides what a text is encoded to
    mlm_head: bool
    origin: dict[str, Any]  # `source` (hub, path, train, or what a student is made from), and what that needs
    fingerprint: str
    run: str
    weights: str  # digest of those that were quantised
    model: str
    dataset: str
    task: str
    layout: str
    labels: list[str]
    counts: dict[str, Any]  # of a prepared dataset, by split
    accepted_differences: Any
    inputs: dict[str, str]  # digests by name
    documents: int  # of token stores
    tokens: int
    truncated: int
    vocabulary_size: int
    special_ids: dict[str, int]
    unused_ids: list[int]  # only where there are some
    max_length: int
    members: dict[str, str]  # of an archive's extracted files: sha256 that each had to have
    step: int  # of checkpoints


class Manifest(Facts):
    """Content of manifest.json; the digest is over names and contents of the files, the seal over all that is said."""

    digest: str
    files: dict[str, FileFacts]
    seal: NotRequired[str]  # older versions wrote none


def sha256_of_value(value: Any) -> str:
    """Return the sha256 of a JSON-like value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block ends without an error.

    A reader therefore sees the old file or the whole new one, never a part of it; of two writers the later one's stays.

    Raises:
        UserError: the path is something else than a file, which the new file would replace.
        OSError: the file system refused; in whatever form a library said so.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is a folder, a device or a pipe: give the path of a file to write")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = new_file(path)
        try:
            yield temporary
            _flush_to_disk(temporary)
            temporary.chmod(0o666 & ~umask())
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that takes its name when the block ends without an error.

    One process at a time does so; a second one waits. The old folder is renamed before it is removed: no reader finds
    half of one, and where locks fail the later one's folder stays, whole.

    Raises:
        OSError: the file system refused; in whatever form a library said so.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path):
            temporary = new_folder(path)
            try:
                yield temporary
                _open_to_readers(temporary)
                if path.is_symlink() or path.is_file():
                    path.unlink()
                _swap(temporary, path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)


def _open_to_readers(folder: Path) -> None:
    """Give a finished folder the rights that the umask allows, and store its files."""
    mask = umask()
    folder.chmod(0o777 & ~mask)
    for file in folder.rglob("*"):
        if file.is_file():
            if not file.is_symlink():  # safetensors writes for its owner alone; a group reads these folders too
                file.chmod(file.stat().st_mode | 0o666 & ~mask)
            _flush_to_disk(file)


def _swap(new: Path, path: Path, tries: int = 20) -> None:
    """Give a folder the name of another, which may be there, and remove that one."""
    for number in range(tries):
        try:
            new.replace(path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or number == tries - 1:
                raise
        old = new_folder(path)
        with suppress(FileNotFoundError):  # another program has just renamed it
            path.replace(old)
        shutil.rmtree(old, ignore_errors=True)


def read_json(path: Path, form: Any = None, remake: str = "") -> Any:
    """Return the value in a JSON file, of a form (as a TypedDict) if one is given; `remake` is for messages.

    Raises:
        UserError: the file is missing, is not JSON, or its value is of another form.
    """
    cure = f": {remake}" if remake else ""
    require_file(path, LARGEST_TEXT)
    try:
        value = parse_json(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist{cure}") from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}){cure}") from None
    if form is not None:
        require_form(value, form, path, remake)
    return value


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, under a temporary name first."""
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, under a temporary name first."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_yaml(path: Path) -> Any:
    """Return the value in a YAML file.

    Raises:
        UserError: the file is missing, is not YAML, or means more than it says.
    """
    require_file(path, LARGEST_YAML)
    try:
        text = path.read_text(encoding="utf-8")
        return require_few(whole_characters(yaml.safe_load(text), text))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {str(error)[:1000]}") from None


def write_yaml(path: Path, value: Any) -> None:
    """Write a value as YAML in the order of its keys, under a temporary name first."""
    write_text(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def file_facts(folder: Path) -> dict[str, FileFacts]:
    """Return size and digest of the files in a folder and below by their path in it, without manifests and memories."""
    return {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (MANIFEST, MEMORY)
    }


def write_manifest(folder: Path, **facts: Unpack[Facts]) -> Manifest:
    """Write and return `manifest.json` of a folder: its files, one digest of their content, and `facts`."""
    files = file_facts(folder)
    digest = sha256_of_value({name: file["sha256"] for name, file in files.items()})
    manifest: Manifest = {"digest": digest, **facts, "files": files}
    manifest["seal"] = _seal(manifest)
    write_json(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path, *, contents: bool = True, remake: str = "") -> Manifest:
    """Return the manifest of a folder after comparing its files with it; see `read_manifests`."""
    return read_manifests([folder], contents=contents, remake=remake)[0]


def read_manifests(folders: Sequence[Path], *, contents: bool = True, remake: str = "") -> list[Manifest]:
    """Return the manifests of folders after comparing their files with them, by content where they are new or changed.

    Args:
        folders: of the manifests.
        contents: False compares sizes alone.
        remake: what to do where something is wrong; by default to delete the folder and run the workflow again.

    Raises:
        UserError: a manifest is missing or damaged, or a file is missing or differs from it.
    """
    manifests: list[Manifest] = []
    files: list[Recorded] = []
    for folder in folders:
        cure = remake or f"delete {folder} and {AGAIN}"
        manifests.append(read_manifest_alone(folder, cure))
        files += recorded_files(folder, manifests[-1], cure)
    require_same(files, contents=contents)
    return manifests


def read_manifest_alone(folder: Path, remake: str) -> Manifest:
    """Return the manifest of a folder without looking at its files; UserError if it is missing or damaged."""
    manifest: Manifest = read_json(folder / MANIFEST, Manifest, remake)
    if manifest.get("seal") not in (None, _seal(manifest)):
        raise UserError(f"{folder / MANIFEST} is not as it was written: {remake}")
    return manifest


def require_recorded(folder: Path, names: Collection[str] | None = None) -> None:
    """Compare files of a folder with its manifest; a folder without one is the user's own, of which nothing is known.

    `names` are those to compare, as the manifest has them; None: all.

    Raises:
        UserError: a file is not what the manifest says.
    """
    if (folder / MANIFEST).is_file():
        again = f"delete {folder} and {AGAIN}"
        files = recorded_files(folder, read_manifest_alone(folder, again), again)
        require_same(file for file in files if names is None or str(file.path.relative_to(folder)) in names)


def recorded_files(folder: Path, manifest: Manifest, remake: str) -> list[Recorded]:
    """Return the files of a folder with what its manifest says of them."""
    return [
        Recorded(folder / name, file["sha256"], folder / MANIFEST, remake, bytes=file["bytes"])
        for name, file in manifest["files"].items()
    ]


def _seal(manifest: Manifest) -> str:
    """Return the digest of all that a manifest says beside its seal."""
    return sha256_of_value({name: value for name, value in manifest.items() if name != "seal"})


def _flush_to_disk(path: Path) -> None:
    """Ask the operating system to store a file before its name is changed."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
