"""Single classes and functions of the authors' repository, executed from a clone of it without the rest of its files.

Their files are scripts that load models and train when they are imported, so one definition is cut out of a file and
executed with stand-ins for the names that it uses. Only files with the digests below are executed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import CodeType
from typing import Any

from compactbio.errors import UserError

REPOSITORY = "https://github.com/nlpie-research/Compact-Biomedical-Transformers"
COMMIT = "9fc1e2d"
DIGESTS = {  # sha256 of the files at this commit
    "CompactBioBERT-Distillation.py": "fb227dc9595f247e3001249fc335cf257e26a33fc71102b29ce3b2e582e89bc2",
    "DistilBioBERT-Distillation.py": "d1c5683cbf781f9eaef9f96690a51c5a280a4d87b82113d8929b231532f1dc2d",
    "TinyBioBERT-Distillation.py": "4d1a6f624e856eedaf6b8029b8bf15e8b279b8b1b61b3cc5038cfc3479c6568c",
    "ner.py": "c34f29c782032e8dc52f626ff07bb128e7a0d0b9d26682a57af846f9ae07e467",
    "qa.py": "57383a337005848b435e22ec4301634820170ac58c9ba0db9bd3ddf63057f65c",
}


def check_clone(folder: Path) -> None:
    """Refuse a folder that does not hold the files as they are at the commit.

    Raises:
        UserError: a file is missing or another one.
    """
    for name, digest in DIGESTS.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path} is missing: --authors takes a clone of {REPOSITORY} at {COMMIT}")
        found = hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
        if found != digest:
            raise UserError(
                f"{path} is not the file of commit {COMMIT} (sha256 {found[:12]} instead of {digest[:12]}), so it is "
                f"not executed: `git checkout {COMMIT}` in the clone"
            )


def definition(folder: Path, file: str, name: str, names: Mapping[str, Any]) -> Any:
    """Return one class or function of a file, executed alone.

    Args:
        folder: the clone; see `check_clone`.
        file: the file's name.
        name: of a class or function at the top of it.
        names: what the definition finds under its imports' names.
    """
    namespace = dict(names)
    exec(_compiled(folder / file, name), namespace)
    return namespace[name]


def _compiled(path: Path, name: str) -> CodeType:
    """Return the code of one definition at the top of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    chosen = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name]
    if len(chosen) != 1:
        raise UserError(f"{path} has no single class or function {name}: it is not the file of commit {COMMIT}")
    return compile(ast.Module(body=list(chosen), type_ignores=[]), str(path), "exec")
