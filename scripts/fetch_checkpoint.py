"""Fetch a checkpoint from the hub or a local folder, check it, and write it with its tokenizer."""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any

from compactbio.digests import sha256_of_file
from compactbio.errors import UserError
from compactbio.files import MANIFEST
from compactbio.imports import import_models
from compactbio.locks import locked
from compactbio.logs import run_program

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, fetch, check, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the checkpoint's or model's name in the configuration")
    parser.add_argument("--definition", required=True, type=json.loads, help="its definition, JSON")
    parser.add_argument(
        "--tokenizer-definition", required=True, type=json.loads, help="its tokenizer's definition, JSON"
    )
    parser.add_argument("--cache", required=True, type=Path, help="folder of the hub's cache")
    parser.add_argument("--lock", required=True, type=Path, help="JSON file that pins moving revisions")
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    arguments = parser.parse_args()

    from compactbio.downloads.hub import published_files
    from compactbio.provenance import write_provenance

    started = time.perf_counter()
    with locked(arguments.output):  # the folder and its record are of one process
        try:
            source, origin = locate(arguments.definition, arguments.cache, arguments.lock)
            import_models()  # only here: what cannot be fetched is said at once
            from compactbio.students.checkpoints import import_checkpoint

            manifest = import_checkpoint(
                source, arguments.definition, arguments.tokenizer_definition, origin, arguments.output
            )
        except UserError as error:
            raise UserError(f"{arguments.name}: {error}") from error
        inputs = {path.name: sha256_of_file(path) for path in published_files(source)}
        seconds = time.perf_counter() - started
        write_provenance(arguments.output, inputs, seconds, outputs={MANIFEST: manifest["digest"]})
    log.info(
        "%s: %s, %s MLM head, digest %s",
        arguments.name,
        manifest["architecture"],
        "with its" if manifest["mlm_head"] else "without",
        manifest["digest"],
    )


def locate(definition: dict[str, Any], cache: Path, lock: Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder with a definition's files as published, and its origin for the manifest."""
    if definition["source"] == "hub":
        from compactbio.downloads.hub import fetch_snapshot

        hub = definition["hub"]
        folder = fetch_snapshot(hub["repository"], hub["revision"], cache, lock)
        return folder, {"source": "hub", **hub, "commit": folder.name}
    if definition["source"] == "path":
        path = definition.get("path")
        if not path:
            raise UserError("`source: path` needs the key `path`, a folder")
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise UserError(f"{folder} (key `path`) is not a folder")
        return folder, {"source": "path", "path": str(path)}
    raise UserError(f"`source: {definition['source']}` cannot be fetched: hub or path")


if __name__ == "__main__":
    run_program(main)
