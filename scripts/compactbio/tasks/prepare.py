"""One data set from its files to its canonical form."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import MANIFEST, read_json, read_manifest
from compactbio.kinds.kind import Layout
from compactbio.tasks.counts import check_counts
from compactbio.tasks.prepared import Definition, Prepared, parse_definition
from compactbio.tasks.schema import write_dataset


def find_data(data: Path) -> Path:
    """Return the folder that holds a source's files: `data` itself, or what its manifest names.

    Args:
        data: a folder, or the manifest that fetch_task_data.py wrote.

    Raises:
        UserError: the folder is missing, or a file in it is not the one that was fetched.
    """
    if data.is_dir():
        return data
    manifest = read_json(data)
    if not isinstance(manifest, dict) or "folder" not in manifest:
        raise UserError(f"{data} is neither a folder nor a manifest of fetch_task_data.py")
    folder = Path(manifest["folder"])
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder}, named in {data}, is gone: delete {data} so that it is fetched again")
    read_manifest(folder, verify=True)
    return folder


def reader_of(layout: Layout) -> Callable[[Definition], Prepared]:
    """Return the function that reads a layout."""
    module, function = layout.reader.split(".")
    reader: Callable[[Definition], Prepared] = getattr(import_module(f"compactbio.tasks.{module}"), function)
    return reader


def prepare_dataset(name: str, definition: Any, data: Path, output: Path) -> dict[str, Any]:
    """Write the data set `name` under `output` and return its manifest.

    Args:
        name: the data set's name in the configuration.
        definition: its mapping there.
        data: the folder to which the definition's `folder` is relative, or a source's manifest.
        output: the folder to write.

    Raises:
        UserError: the definition, a file or a count is wrong.
    """
    parsed = parse_definition(name, definition, find_data(data))
    if not parsed.folder.is_dir():
        raise UserError(f"{parsed.folder} is not a folder: correct {parsed.key}.folder")
    prepared = reader_of(parsed.layout)(parsed)
    repaired = sum(counts.get("i_after_o", 0) for counts in prepared.counts.values())
    if repaired:
        logging.warning("%s: %d labels I that continue no entity were read as B", name, repaired)
    differences = check_counts(parsed, prepared.counts)
    for split, counts in prepared.counts.items():
        shown = (f"{key} {value}" for key, value in counts.items() if isinstance(value, int))
        logging.info("%s %s: %s", name, split, ", ".join(shown))
    return write_dataset(output, parsed, prepared, differences)
