"""Write a table and two figures of what the corpus holds."""

from __future__ import annotations

import argparse
from pathlib import Path

from compactbio.logs import run_program


def main() -> None:
    """Add the counts of the shards, read the lengths of the stores, write both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", required=True, nargs="+", type=Path, help="counts of all text shards")
    parser.add_argument(
        "--stores",
        required=True,
        nargs="+",
        type=Path,
        metavar="MANIFEST",
        help="manifests of the token stores, as <tokenizer>/<shard>/manifest.json",
    )
    parser.add_argument("--table", required=True, nargs=2, type=Path, metavar=("CSV", "MD"))
    for figure, content in (("lengths", "lengths of its sequences"), ("files", "texts of each of its files")):
        parser.add_argument(
            f"--{figure}-figure",
            required=True,
            nargs="+",
            type=Path,
            metavar="FILE",
            help=f"{content}: files ending in .svg or .png",
        )
    arguments = parser.parse_args()

    from compactbio.corpus.corpus_figures import draw_files, draw_lengths
    from compactbio.corpus.shards import add_counts, read_counts
    from compactbio.corpus.summary import read_lengths, summary_rows, write_table

    total = add_counts([read_counts(path) for path in arguments.counts])
    lengths = read_lengths(arguments.stores)
    csv_path, markdown_path = arguments.table
    write_table(summary_rows(total, lengths), csv_path, markdown_path, total["settings"])
    draw_lengths(lengths, arguments.lengths_figure)
    draw_files(total, arguments.files_figure)


if __name__ == "__main__":
    run_program(main)
