"""Fetch one source of benchmark data into the download cache and write a manifest of its files."""

from __future__ import annotations

import argparse
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import write_json
from compactbio.logs import run_program

DESCRIPTION = """\
Download a source of config/data_sources.tsv (resumed, retried, verified), extract the files that the table
names from it, verify each against its sha256, and write a manifest: {"source", "version", "url", "archive",
"folder": where the files lie, "digest", "files": {path: {"bytes", "sha256"}}, "licence", "citation"}.
"""


def main() -> None:
    """Parse the command line and fetch the source."""
    parser = argparse.ArgumentParser(description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, metavar="NAME", help="a name in the table")
    parser.add_argument("--table", type=Path, default=Path("config/data_sources.tsv"), help="default: %(default)s")
    parser.add_argument(
        "--url",
        default="",
        help="use this address instead of the table's: http(s)://, or file:// with an archive or a folder, "
        "which is read in place (configuration key data_urls)",
    )
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR", help="the folder of downloads")
    parser.add_argument("--output", type=Path, required=True, metavar="MANIFEST.json")
    arguments = parser.parse_args()

    from compactbio.tasks.data_sources import fetch_source, read_sources

    sources = read_sources(arguments.table)
    if arguments.source not in sources:
        raise UserError(
            f"{arguments.table} has no row named {arguments.source!r}; it has {', '.join(sources)}. "
            "Add a row, or correct the data set's key `source`"
        )
    source = sources[arguments.source]
    manifest = fetch_source(source, arguments.cache, arguments.table, arguments.url or None)
    write_json(arguments.output, manifest)


if __name__ == "__main__":
    run_program(main)
