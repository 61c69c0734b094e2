"""A chain of origins as it is walked: what is found, what is not there, and where recorded digests are not met."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import MANIFEST, read_json, read_manifest, sha256_of_file
from compactbio.provenance import PROVENANCE

SHOWN = 6  # items of a longer list that are shown: the first ones
_INDENT = "  "


class Chain:
    """The lines of a trace, and its breaks.

    A gap (something is not there, or an older version did not record it) is said and accepted; a break (two things
    that should agree do not) is said and counted.

    Args:
        verify: compute the sha256 of every file again; else sizes and recorded digests are compared.
        full: list every file of long lists.
    """

    def __init__(self, *, verify: bool = False, full: bool = False) -> None:
        self.verify = verify
        self.full = full
        self.lines: list[str] = []
        self.breaks: list[str] = []
        self.gaps: list[str] = []
        self.checks = 0
        self.walked: set[Path] = set()

    def say(self, depth: int, text: str) -> None:
        """Add a line."""
        self.lines.append(f"{_INDENT * depth}{text}")

    def gap(self, depth: int, text: str) -> None:
        """Say that something is not there."""
        self.gaps.append(text)
        self.say(depth, f"- {text}")

    def broken(self, depth: int, text: str) -> None:
        """Say that the chain is broken here."""
        self.breaks.append(text)
        self.say(depth, f"! BROKEN: {text}")

    def many(self, depth: int, texts: Iterable[str]) -> None:
        """Add a line each, of long lists the first ones and a count."""
        texts = list(texts)
        shown = texts if self.full or len(texts) <= SHOWN + 1 else texts[:SHOWN]
        for text in shown:
            self.say(depth, text)
        if len(shown) < len(texts):
            self.say(depth, f"... and {len(texts) - len(shown):,} more (--full lists them)")

    def same(self, depth: int, what: str, recorded: Any, found: Any) -> bool:
        """Return whether two digests or numbers agree; say so if they do not."""
        self.checks += 1
        if recorded == found:
            return True
        self.broken(depth, f"{what}: recorded {short(recorded)}, found {short(found)}")
        return False

    def enter(self, depth: int, folder: Path) -> bool:
        """Return whether a folder is walked for the first time; say where it is not."""
        if folder in self.walked:
            self.say(depth, f"{folder}: see above")
            return False
        self.walked.add(folder)
        return True

    def manifest(self, depth: int, folder: Path) -> dict[str, Any] | None:
        """Return a folder's manifest after comparing its files with it; None, and said, where there is none."""
        if not (folder / MANIFEST).is_file():
            self.gap(depth, f"{folder / MANIFEST} is not there")
            return None
        self.checks += 1
        try:
            return read_manifest(folder, verify=self.verify)
        except UserError as error:
            self.broken(depth, str(error))
            return read_json(folder / MANIFEST)

    def file(self, depth: int, path: Path, recorded: str | None, method: str = "sha256") -> None:
        """Compare a file with its recorded digest if files are verified and this one is there."""
        if recorded is None or not path.is_file():
            self.gap(depth, f"{path} {'is not there' if recorded else 'has no recorded digest'}")
        elif self.verify:
            self.same(depth, f"{method} of {path}", recorded, digest_of_file(path, method))

    def record(self, depth: int, path: Path) -> dict[str, Any]:
        """Return a provenance.json and say who made the result; empty, and said, where there is none."""
        if not path.is_file():
            self.gap(depth, f"{path} is not there: made by a version that wrote none, or not finished")
            return {}
        record = read_json(path)
        self.say(depth, f"made {made_in_words(record)}")
        return record

    def origin(self, depth: int, folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
        """Return the provenance.json beside a manifest, which must be of the same content."""
        record = self.record(depth, folder / PROVENANCE)
        if record:
            self.same(
                depth, f"{folder / PROVENANCE}: digest of the folder", record["outputs"][MANIFEST], manifest["digest"]
            )
        return record


def digest_of_file(path: Path, method: str) -> str:
    """Return a file's hexadecimal md5 or sha256."""
    if method == "sha256":
        return sha256_of_file(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(method, usedforsecurity=False)).hexdigest()


def short(value: Any) -> str:
    """Return a digest's first digits, or a value as it is."""
    return value[:16] if isinstance(value, str) and len(value) in (32, 40, 64) else str(value)


def made_in_words(record: dict[str, Any]) -> str:
    """Return who made a result: program, code, time, GPUs, machine, the packages that matter most."""
    code, hardware, packages = record.get("code", {}), record.get("hardware", {}), record.get("packages", {})
    if code.get("commit"):
        commit = f"commit {code['commit'][:12]}{' with uncommitted changes' if code.get('dirty') else ''}"
    else:
        commit = f"commit not known ({code.get('note', 'no git checkout')})"
    gpus = ", ".join(hardware.get("gpus", [])) or "no GPU"
    parts = [
        f"by {record['program']}" if "program" in record else "",
        record.get("finished", ""),
        commit,
        f"{record.get('seconds', 0):,.1f} s",
        f"{record.get('gpu_hours', 0):g} GPU-hours",
        f"{hardware.get('processor', 'processor not known')} x {hardware.get('cores', '?')}, {gpus}",
        ", ".join(f"{name} {packages[name]}" for name in ("python", "torch", "transformers") if name in packages),
    ]
    return "; ".join(part for part in parts if part)
