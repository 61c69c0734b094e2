"""Digests of what a fine-tuning starts from: the model's folder and the prepared dataset's rows."""

from __future__ import annotations

from pathlib import Path

from compactbio.digests import sha256_of_file
from compactbio.errors import UserError
from compactbio.files import MANIFEST, read_manifest, sha256_of_value
from compactbio.students.weights import WEIGHTS
from compactbio.tasks.rows import DATA

MODEL_FILES = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json")


def model_digest(folder: Path, *, contents: bool = True) -> str:
    """Return the digest of what a model folder contributes: weights, configuration, tokenizer (no model card).

    Where a manifest has them, files are compared with it, without `contents` by size alone.

    Raises:
        UserError: one of the files is missing or differs from the folder's manifest.
    """
    known = read_manifest(folder, contents=contents)["files"] if (folder / MANIFEST).is_file() else {}
    digests = {}
    for name in MODEL_FILES:
        if name in known:
            digests[name] = known[name]["sha256"]
        elif (folder / name).is_file():
            digests[name] = sha256_of_file(folder / name)
        elif name != "tokenizer_config.json":
            raise UserError(f"{folder / name} is missing: {folder} is not a usable model folder")
    return sha256_of_value(digests)


def dataset_digest(folder: Path, *, contents: bool = True) -> str:
    """Return the digest of a prepared dataset's rows (state.json holds a random number and is left out)."""
    known = read_manifest(folder, contents=contents)["files"] if (folder / MANIFEST).is_file() else {}
    names = sorted(str(path.relative_to(folder)) for path in (folder / DATA).rglob("*.arrow"))
    if not names:
        raise UserError(f"{folder}/data holds no Arrow files: it is not a prepared dataset")
    return sha256_of_value(
        {name: known[name]["sha256"] if name in known else sha256_of_file(folder / name) for name in names}
    )
