"""A prepared data set on disk: the typed columns of its kind of task, counts, golden answers, manifest."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.files import replacing_folder, sha256_of_file, sha256_of_value, write_json, write_manifest
from compactbio.kinds.columns import features
from compactbio.tasks.prepared import SPLITS, Columns, Definition, Prepared

if TYPE_CHECKING:
    import datasets

DATA, COUNTS, GOLDEN = "data", "counts.json", "golden.json"


def write_dataset(
    folder: Path, definition: Definition, prepared: Prepared, differences: list[dict[str, Any]]
) -> dict[str, Any]:
    """Write a prepared data set as a folder and return its manifest. The same input gives the same bytes.

    The folder holds data/ (a `datasets.DatasetDict`), counts.json, manifest.json, and for question answering
    golden.json and, where there is one, the copy of the official golden file.

    Args:
        folder: where; replaced as a whole when everything is written.
        definition: the data set's definition.
        prepared: its rows and counts.
        differences: accepted differences from the definition's counts, for the manifest.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import datasets

    datasets.disable_progress_bars()
    with replacing_folder(folder) as temporary:
        _to_dataset_dict(prepared.splits, features(definition.kind, definition.labels)).save_to_disk(
            str(temporary / DATA)
        )
        write_json(temporary / COUNTS, prepared.counts)
        if prepared.golden is not None:
            write_json(temporary / GOLDEN, prepared.golden)
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
            inputs={path.relative_to(definition.folder).as_posix(): sha256_of_file(path) for path in prepared.inputs},
        )


def _to_dataset_dict(splits: dict[str, Columns], columns: datasets.Features) -> datasets.DatasetDict:
    """Return the splits as a DatasetDict in the order train, validation, test.

    The fingerprint that `datasets` keeps in its files is set from the content; by default it differs each time.
    """
    import pyarrow
    from datasets import Dataset, DatasetDict, DatasetInfo, NamedSplit

    schema = columns.arrow_schema
    return DatasetDict(
        {
            split: Dataset(
                pyarrow.Table.from_pydict(splits[split], schema=schema),
                info=DatasetInfo(features=columns),
                split=NamedSplit(split),
                fingerprint=sha256_of_value(splits[split])[:16],
            )
            for split in SPLITS
            if split in splits
        }
    )
