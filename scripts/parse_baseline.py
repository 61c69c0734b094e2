"""Write the texts of PubMed baseline files as a parquet file with the columns pmid and text."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import read_json, sha256_of_file, write_json
from compactbio.logs import run_program


def main() -> None:
    """Parse the files named on the command line, or those of a download manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.xml.gz")
    parser.add_argument("--manifest", type=Path, help="files of a batch, as download_baseline lists them")
    parser.add_argument(
        "--text",
        required=True,
        choices=["full", "reference"],
        help="full: all sections, text only; reference: as the paper's loader, first section, raw markup",
    )
    parser.add_argument("--as-of", metavar="DATE", help="only citations in PubMed by then, as 2021-12-12")
    parser.add_argument("--output", required=True, type=Path, help="the parquet file")
    parser.add_argument("--counts", required=True, type=Path, help="what was kept and dropped and why, as JSON")
    arguments = parser.parse_args()
    if bool(arguments.files) == (arguments.manifest is not None):
        parser.error("give either files or --manifest")

    from compactbio.corpus.parsing import as_of_date, parse_baseline
    from compactbio.provenance import gather_provenance

    as_of = as_of_date(arguments.as_of) if arguments.as_of else None
    if arguments.manifest is None:
        digests = {path: sha256_of_file(path) for path in arguments.files}
    else:
        digests = files_of_manifest(arguments.manifest)
    files = list(digests)
    started = time.perf_counter()
    counts = parse_baseline(files, arguments.output, mode=arguments.text, as_of=as_of)
    outputs = {arguments.output.name: sha256_of_file(arguments.output)}
    inputs = {path.name: digest for path, digest in digests.items()}
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


def files_of_manifest(path: Path) -> dict[Path, str]:
    """Return the files of a download manifest with their sha256, each of the size that it had when that was checked."""
    manifest = read_json(path)
    if manifest.get("failed"):
        names = ", ".join(manifest["failed"])
        raise UserError(f"{path} lacks {names}, which could not be downloaded: run download_baseline again")
    for file in manifest["files"]:
        found = Path(file["path"])
        if not found.is_file() or found.stat().st_size != file["bytes"]:
            raise UserError(f"{found} is missing or changed since {path} was written: delete {path} and rerun")
    return {Path(file["path"]): file["sha256"] for file in manifest["files"]}


if __name__ == "__main__":
    run_program(main)
