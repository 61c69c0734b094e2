"""The name of a training run's results: what decides them, and nothing that decides where they are made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import read_manifest, sha256_of_value


def fingerprint(run: Mapping[str, Any], digests: dict[str, str], recipe: int) -> str:
    """Return the sha256 over a run's settings, its inputs' digests and the recipe's number.

    Args:
        run: the content of run.yaml.
        digests: content digest of each input by its role ("student", "tokens/0001", ...).
        recipe: raised by hand whenever the arithmetic of the training changes.
    """
    return sha256_of_value({"run": run, "digests": digests, "recipe": recipe})


def folder_digest(folder: Path) -> str:
    """Return the content digest in a folder's manifest, after comparing the sizes of its files.

    Raises:
        UserError: the manifest is missing or has no digest, or a file differs from it.
    """
    manifest = read_manifest(folder)
    if "digest" not in manifest:
        raise UserError(f"{folder}/manifest.json has no digest: remake {folder}")
    return manifest["digest"]
