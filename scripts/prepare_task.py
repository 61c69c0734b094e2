"""Prepare one benchmark data set: from its official files to a typed `datasets.DatasetDict`."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from compactbio.digests import add_verify
from compactbio.errors import UserError
from compactbio.files import MANIFEST, sha256_of_value
from compactbio.kinds import KINDS
from compactbio.locks import locked
from compactbio.logs import run_program

DESCRIPTION = """\
Read one data set in its official layout and write it in the form that fine-tuning reads:
data/ (a datasets.DatasetDict with the splits train, validation if there is one, test), counts.json,
manifest.json, for question answering golden.json, and for annotated documents places.parquet.
Counts are compared with the definition's.
"""

EXAMPLE = """\
example:
  python scripts/prepare_task.py --dataset my-genes --data my-data --output results/tasks/my-genes \\
    --definition '{"task": "ner", "layout": "tagged_words", "folder": "genes", "labels": ["O", "B", "I"],
                   "files": {"train": "train.tsv", "validation": "devel.tsv", "test": "test.tsv"}}'

files are UTF-8; Windows line ends are accepted. Exit code 1 and one line on stderr if something is wrong.
"""


def describe_layouts() -> str:
    """Return what each layout is and what its definition says, for the help."""
    lines = ["layouts, and what the definition says of them (keys as under `datasets:` in config/config.yaml):"]
    for kind in KINDS.values():
        for layout in kind.layouts:
            described = f"task {kind.name}: {layout.describes}".replace("\n", "\n" + " " * 16)
            lines.append(f"  {layout.name:13} {described}")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line and prepare the data set."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        epilog=f"{describe_layouts()}\n\n{EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", required=True, metavar="NAME", help="its name in the configuration")
    parser.add_argument("--definition", required=True, metavar="JSON", help="its mapping under `datasets:`, as JSON")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(),
        metavar="PATH",
        help="what the definition's `folder` is relative to: a folder (default: the working directory), "
        "or the manifest that fetch_task_data.py wrote for the source",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the folder to write")
    add_verify(parser)
    arguments = parser.parse_args()
    try:
        definition = json.loads(arguments.definition)
    except json.JSONDecodeError as error:
        raise UserError(f"--definition is not JSON: {error}") from None

    from compactbio.provenance import write_provenance
    from compactbio.tasks.prepare import prepare_dataset, read_source

    started = time.perf_counter()
    with locked(arguments.output):  # the folder and its record are of one process
        manifest = prepare_dataset(arguments.dataset, definition, arguments.data, arguments.output)
        inputs = {"definition": sha256_of_value(definition), **manifest["inputs"]}
        if arguments.data.is_file():
            inputs["source"] = read_source(arguments.data)["digest"]
        write_provenance(
            arguments.output,
            inputs,
            time.perf_counter() - started,
            source=definition.get("source"),
            outputs={MANIFEST: manifest["digest"]},
        )


if __name__ == "__main__":
    run_program(main)
