"""What is decided once for all processes: files that pin what was seen first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import read_json, write_json
from compactbio.locks import locked

DIGESTS = "digests.lock.json"  # in a cache: sha256 of files for which nobody states one, as first seen

log = logging.getLogger(__name__)


def pinned(lock_file: Path, key: str, decide: Callable[[], str]) -> str:
    """Return what a lock file records for a key; if nothing, what `decide` returns, recorded from now on.

    The file is JSON, {key: value}, sorted. `decide` runs once, though several processes ask at once; where it
    raises an error, nothing is recorded.

    Raises:
        UserError: the file is not of that form.
    """
    recorded = read_pins(lock_file)
    if key in recorded:  # written whole or not at all: this needs no lock, nor the right to write
        return recorded[key]
    with locked(lock_file):
        recorded = read_pins(lock_file)
        if key not in recorded:
            recorded[key] = decide()
            write_json(lock_file, dict(sorted(recorded.items())))
            log.info("%s is %s, recorded in %s", key, recorded[key], lock_file)
    return recorded[key]


def read_pins(lock_file: Path) -> dict[str, str]:
    """Return what a lock file records, nothing where there is none yet."""
    recorded = read_json(lock_file) if lock_file.exists() else {}
    if not isinstance(recorded, dict) or not all(isinstance(value, str) for value in recorded.values()):
        raise UserError(f"{lock_file} should hold an object of texts, what was seen first by its name: remove it")
    return recorded
