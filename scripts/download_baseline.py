"""Fetch some files of a PubMed baseline into the cache, verified, and list them in a manifest.

Where a file cannot be fetched, it exits with 1 after trying all others, which stay in the cache; its
manifest lists what succeeded and, under `failed`, what did not.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from compactbio.files import write_json
from compactbio.logs import run_program


def main() -> None:
    """Fetch or find the files and write their manifest."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base-url", required=True, help="https:// or file:// address of the baseline's folder")
    parser.add_argument("--year", required=True, type=int, help="year of the baseline")
    parser.add_argument("--numbers", required=True, help="numbers of the files, as 1-20,25")
    parser.add_argument("--downloads", required=True, type=Path, help="the cache; unused with file://")
    parser.add_argument("--output", required=True, type=Path, help="the manifest")
    parser.add_argument("--tries", type=int, default=6, help="tries of each transfer (default 6)")
    parser.add_argument("--first-wait", type=float, default=2.0, help="seconds before the second try; doubles")
    arguments = parser.parse_args()

    from compactbio.corpus.baseline import parse_numbers
    from compactbio.corpus.baseline_files import fetch_baseline_files, require_complete
    from compactbio.downloads.retries import Patience

    patience = Patience(arguments.tries, arguments.first_wait)
    numbers = parse_numbers(arguments.numbers)
    manifest = fetch_baseline_files(arguments.base_url, arguments.year, numbers, arguments.downloads, patience)
    write_json(arguments.output, manifest)
    require_complete(manifest, patience)
    total = sum(file["bytes"] for file in manifest["files"])
    logging.info("%d files, %s bytes", len(manifest["files"]), f"{total:,}")


if __name__ == "__main__":
    run_program(main)
