"""Digests that files should have: in .md5 files of any common form, in tables, in lock files."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

_HEX = r"(?P<hex>[0-9a-fA-F]{32})"
_OPENSSL = re.compile(rf"MD5\s*\((?P<name>.+)\)\s*=\s*{_HEX}")  # also BSD's, which has spaces
_COREUTILS = re.compile(rf"\\?{_HEX}(?:\s+\*?(?P<name>.+))?")


@dataclass(frozen=True)
class Digest:
    """What the bytes of a file should have as digest, and who states that (for messages)."""

    algorithm: Literal["md5", "sha256"]
    value: str
    stated_by: str

    def mismatch(self, path: Path) -> str:
        """Return in words how a file's digest differs; "" if it does not."""
        found = digest_of_file(path, self.algorithm)
        if found == self.value:
            return ""
        return f"it has the {self.algorithm} {found} where {self.stated_by} has {self.value}"


def digest_of_file(path: Path, algorithm: Literal["md5", "sha256"]) -> str:
    """Return the hexadecimal digest of a file's bytes."""
    with path.open("rb") as stream:
        if algorithm == "md5":
            return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        return hashlib.file_digest(stream, algorithm).hexdigest()


def parse_md5(text: str, name: str) -> str | None:
    """Return the md5 of the file `name` in the text of a .md5 file, or None if it has none for it.

    Read are `MD5(name)= hex` (openssl), `MD5 (name) = hex` (BSD), `hex  name` and `hex *name` (md5sum) with
    any folders before the name, and `hex` alone; a byte-order mark and lines about other files are skipped.
    """
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines() if line.strip()]
    for line in lines:
        found = _OPENSSL.fullmatch(line) or _COREUTILS.fullmatch(line)
        if found is None:
            continue
        if found["name"] is None:
            if len(lines) == 1:
                return found["hex"].lower()
        elif PurePosixPath(found["name"].replace("\\", "/")).name == name:
            return found["hex"].lower()
    return None
