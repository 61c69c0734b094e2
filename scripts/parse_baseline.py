"""Write the texts of PubMed baseline files as a parquet file with the columns pmid and text."""

from __future__ import annotations

import argparse
import logging
import time
from datetime import date
from pathlib import Path

from compactbio.digests import add_verify, sha256_of_file
from compactbio.files import write_json
from compactbio.logs import run_program


def main() -> None:
    """Parse the files named on the command line, or those of a download manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.xml.gz")
    parser.add_argument("--manifest", type=Path, help="the list that download_baseline writes")
    parser.add_argument(
        "--text",
        required=True,
        choices=["full", "reference"],
        help="full: all sections, text only; reference: as the paper's loader, first section, raw markup",
    )
    parser.add_argument(
        "--as-of", type=_date, metavar="DATE", help="only citations in PubMed by then, as 2021-12-12; '': all"
    )
    parser.add_argument("--output", required=True, type=Path, help="the parquet file")
    parser.add_argument("--counts", required=True, type=Path, help="what was kept and dropped and why, as JSON")
    add_verify(parser)
    arguments = parser.parse_args()
    if bool(arguments.files) == (arguments.manifest is not None):
        parser.error("give either files or --manifest")

    from compactbio.corpus.baseline_files import read_baseline_manifest
    from compactbio.corpus.parsing import parse_baseline
    from compactbio.provenance import gather_provenance

    listed = read_baseline_manifest(arguments.manifest)["files"] if arguments.manifest else []
    digests = {Path(file["path"]): file["sha256"] for file in listed}
    files = list(digests) or arguments.files
    started = time.perf_counter()
    counts = parse_baseline(files, arguments.output, mode=arguments.text, as_of=arguments.as_of)
    outputs = {arguments.output.name: sha256_of_file(arguments.output)}
    inputs = {path.name: digests.get(path) or sha256_of_file(path) for path in files}
    seconds = time.perf_counter() - started
    write_json(arguments.counts, counts | {"provenance": gather_provenance(inputs, seconds, outputs=outputs)})
    logging.info(
        "%s of %s citations kept from %d files in %.1f s; dropped: %s; ignored: %s",
        f"{counts['kept']:,}",
        f"{counts['citations']:,}",
        len(files),
        seconds,
        counts["dropped"] or "none",
        counts["ignored"] or "none",
    )


def _date(text: str) -> date | None:
    """Return a date YYYY-MM-DD; None for an empty text."""
    return date.fromisoformat(text) if text else None


if __name__ == "__main__":
    run_program(main)
