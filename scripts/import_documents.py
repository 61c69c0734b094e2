"""Write documents of one's own as a parquet file with the columns pmid (a running number) and text."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

from compactbio.digests import sha256_of_file
from compactbio.files import write_json
from compactbio.logs import run_program


def main() -> None:
    """Import one file of documents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help=".txt(.gz), a document a line; .jsonl(.gz) or .parquet with `text`")
    parser.add_argument("--output", required=True, type=Path, help="the parquet file")
    parser.add_argument("--counts", required=True, type=Path, help="what was kept and dropped, as JSON")
    arguments = parser.parse_args()

    from compactbio.corpus.documents import import_documents
    from compactbio.provenance import gather_provenance

    started = time.perf_counter()
    counts = import_documents(arguments.file, arguments.output)
    inputs, outputs = ({path.name: sha256_of_file(path)} for path in (arguments.file, arguments.output))
    record = gather_provenance(inputs, time.perf_counter() - started, outputs=outputs)
    write_json(arguments.counts, counts | {"provenance": record})
    logging.info("%s of %s documents kept", f"{counts['kept']:,}", f"{counts['citations']:,}")


if __name__ == "__main__":
    run_program(main)
