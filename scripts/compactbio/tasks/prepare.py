"""One data set from its files to a folder: typed columns of its kind of task, counts, golden answers, manifest."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from compactbio.digests import AGAIN, sha256_of_file
from compactbio.errors import UserError
from compactbio.files import (
    MANIFEST,
    Manifest,
    read_json,
    read_manifest,
    replacing_folder,
    sha256_of_value,
    write_json,
    write_manifest,
)
from compactbio.kinds.columns import features
from compactbio.kinds.kind import ALSO_IN_TRAIN, Layout
from compactbio.tasks.data_sources import SourceManifest
from compactbio.tasks.leakage import count_seen
from compactbio.tasks.places import PLACES, write_places
from compactbio.tasks.prepared import SPLITS, Counts, Definition, Prepared, parse_definition
from compactbio.tasks.rows import DATA, GOLDEN, Rows

COUNTS = "counts.json"


def find_data(data: Path) -> Path:
    """Return the folder of a source's files: `data` itself, or what it names as the manifest of fetch_task_data.py.

    Raises:
        UserError: the folder is missing, or a file in it is not the one that was fetched.
    """
    if data.is_dir():
        return data
    manifest = read_source(data)
    folder = Path(manifest["folder"])
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder}, named in {data}, is gone: delete {data} so that it is fetched again")
    read_manifest(folder, remake=f"delete {folder} and {data} and {AGAIN}")
    return folder


def read_source(data: Path) -> SourceManifest:
    """Return what fetch_task_data.py wrote of a source.

    Raises:
        UserError: it is something else.
    """
    remake = "give a folder, or a manifest of fetch_task_data.py: delete it to have it written again"
    manifest: SourceManifest = read_json(data, SourceManifest, remake)
    return manifest


def reader_of(layout: Layout) -> Callable[[Definition], Prepared]:
    """Return the function that reads a layout."""
    module, function = layout.reader.split(".")
    reader: Callable[[Definition], Prepared] = getattr(import_module(f"compactbio.tasks.{module}"), function)
    return reader


def prepare_dataset(name: str, definition: Any, data: Path, output: Path) -> Manifest:
    """Write the data set `name` under `output` and return its manifest.

    Args:
        name, definition: as the configuration has them.
        data: the folder to which the definition's `folder` is relative, or a source's manifest.
        output: the folder to write; replaced as a whole when everything is written.

    Raises:
        UserError: the definition, a file or a count is wrong.
    """
    parsed = parse_definition(name, definition, find_data(data))
    if not parsed.folder.is_dir():
        raise UserError(f"{parsed.folder} is not a folder: correct {parsed.key}.folder")
    prepared = reader_of(parsed.layout)(parsed)
    train, test = (Rows(prepared.splits[split], None) for split in ("train", "test"))
    prepared.counts["test"][ALSO_IN_TRAIN] = count_seen(train, test, parsed.kind)
    differences = check_counts(parsed, prepared.counts)
    for split, counts in prepared.counts.items():
        shown = (f"{key} {value}" for key, value in counts.items() if isinstance(value, int))
        logging.info("%s %s: %s", name, split, ", ".join(shown))
    return write_dataset(output, parsed, prepared, differences)


def check_counts(definition: Definition, found: dict[str, Counts]) -> list[dict[str, Any]]:
    """Return the accepted differences from the definition's counts: {"part", "count", "expected", "found"} each.

    `found` may hold more than the definition expects.

    Raises:
        UserError: there are differences and the definition does not accept them.
    """
    differences = [
        {"part": part, "count": name, "expected": value, "found": found[part].get(name, 0)}
        for part, values in definition.counts.items()
        for name, value in values.items()
        if found[part].get(name, 0) != value
    ]
    listed = "; ".join("{part} {count}: expected {expected}, found {found}".format(**item) for item in differences)
    if differences and not definition.accept_counts:
        raise UserError(
            f"the data of {definition.name} in {definition.folder} are not the expected ones: {listed}. Get the "
            f"right files, or correct {definition.key}.counts, or set {definition.key}.accept_counts: true"
        )
    if differences:
        logging.warning("%s: counts differ and are accepted: %s", definition.name, listed)
    return differences


def write_dataset(
    folder: Path, definition: Definition, prepared: Prepared, differences: list[dict[str, Any]]
) -> Manifest:
    """Write a prepared data set as a folder and return its manifest. The same input gives the same bytes.

    The folder holds data/ (a `datasets.DatasetDict`), counts.json, manifest.json, for question answering golden.json
    and, where there is one, the copy of the official golden file, and for annotated documents places.parquet.

    Accepted differences from the definition's counts stand in the manifest.
    """
    import datasets
    import pyarrow

    datasets.disable_progress_bars()
    columns = features(definition.kind, definition.labels)
    splits = {
        split: datasets.Dataset(
            pyarrow.Table.from_pydict(prepared.splits[split], schema=columns.arrow_schema),
            info=datasets.DatasetInfo(features=columns),
            split=datasets.NamedSplit(split),
            # what `datasets` keeps in its files; by default it differs each time
            fingerprint=sha256_of_value(prepared.splits[split])[:16],
        )
        for split in SPLITS
        if split in prepared.splits
    }
    with replacing_folder(folder) as temporary:
        datasets.DatasetDict(splits).save_to_disk(str(temporary / DATA))
        write_json(temporary / COUNTS, prepared.counts)
        if prepared.golden is not None:
            write_json(temporary / GOLDEN, prepared.golden)
        if prepared.places:
            write_places(temporary / PLACES, prepared.places)
        for name, source in prepared.copies.items():
            shutil.copyfile(source, temporary / name)
        return write_manifest(
            temporary,
            dataset=definition.name,
            task=definition.kind.name,
            layout=definition.layout.name,
            labels=list(definition.labels),
            counts=prepared.counts,
            accepted_differences=differences,
            inputs={_named(path, definition.folder): sha256_of_file(path) for path in prepared.inputs},
            **prepared.notes,
        )


def _named(path: Path, folder: Path) -> str:
    """Return a file's path in the dataset's folder; the whole path of one that is elsewhere."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
