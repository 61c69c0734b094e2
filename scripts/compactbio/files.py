"""Files that are complete when they exist: digests, temporary names, manifests, JSON and YAML."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict, Unpack

import yaml

from compactbio.errors import UserError
from compactbio.file_errors import writing
from compactbio.locks import locked
from compactbio.temporaries import new_file, new_folder

MANIFEST = "manifest.json"


class FileFacts(TypedDict):
    """What a manifest says of a file."""

    bytes: int
    sha256: str


class Facts(TypedDict, total=False):
    """What a manifest says of its folder beside the files, each kind of folder some of it."""

    kind: str  # of models: checkpoint, finetuned, quantised
    architecture: str
    tokenizer_digest: str  # of vocabulary and casing
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
    max_length: int
    members: dict[str, str]  # of an archive's extracted files: sha256 that each had to have
    step: int  # of checkpoints


class Manifest(Facts):
    """Content of manifest.json; the digest is over names and contents of the files."""

    digest: str
    files: dict[str, FileFacts]


def sha256_of_file(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
            temporary.chmod(0o666 & ~_umask())
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
    mask = _umask()
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


def read_json(path: Path) -> Any:
    """Return the value in a JSON file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}") from None


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, under a temporary name first."""
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, under a temporary name first."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json_lines(path: Path) -> list[Any]:
    """Return the values in the lines of a file, none where there is no file; what follows a torn line is left out."""
    values: list[Any] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return values


def read_yaml(path: Path) -> Any:
    """Return the value in a YAML file.

    Raises:
        UserError: the file is missing or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {str(error)[:1000]}") from None


def write_yaml(path: Path, value: Any) -> None:
    """Write a value as YAML in the order of its keys, under a temporary name first."""
    write_text(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def file_facts(folder: Path) -> dict[str, FileFacts]:
    """Return size and digest of the files in a folder and below, manifests left out, by their path in it."""
    return {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def write_manifest(folder: Path, **facts: Unpack[Facts]) -> Manifest:
    """Write and return `manifest.json` of a folder: its files, one digest of their content, and `facts`."""
    files = file_facts(folder)
    digest = sha256_of_value({name: file["sha256"] for name, file in files.items()})
    manifest: Manifest = {"digest": digest, **facts, "files": files}
    write_json(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path, *, verify: bool = False) -> Manifest:
    """Return the manifest of a folder, comparing every file's size (and its sha256 if `verify`).

    Raises:
        UserError: the manifest is missing, or a file is missing or differs from it.
    """
    manifest: Manifest = read_json(folder / MANIFEST)
    if not (isinstance(manifest, dict) and "digest" in manifest and isinstance(manifest.get("files"), dict)):
        raise UserError(f"{folder / MANIFEST} is no manifest (`digest` and `files` are missing): remake {folder}")
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path} is missing, though {folder / MANIFEST} lists it: remake {folder}")
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise UserError(
                f"{path} has {size} bytes where {folder / MANIFEST} says {expected['bytes']}: remake {folder}"
            )
        if verify and sha256_of_file(path) != expected["sha256"]:
            raise UserError(f"{path} differs from its digest in {folder / MANIFEST}: remake {folder}")
    return manifest


def _flush_to_disk(path: Path) -> None:
    """Ask the operating system to store a file before its name is changed."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _umask() -> int:
    """Return the process's umask (reading it needs setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
