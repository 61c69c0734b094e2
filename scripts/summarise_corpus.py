"""Write a table and two figures of what the corpus holds."""

from __future__ import annotations

import argparse
from pathlib import Path

from compactbio.digests import add_verify
from compactbio.logs import run_program
from compactbio.settings.results import Corpus
from compactbio.settings.selection import shard_names


def main() -> None:
    """Add the counts of the shards, read the lengths of the stores, write both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, type=Path, help="folder of the texts and their token stores")
    parser.add_argument("--shards", required=True, type=int, help="number of shards, 0001 and so on")
    parser.add_argument("--tokenizers", required=True, nargs="+", metavar="NAME", help="whose token stores are read")
    parser.add_argument("--table", required=True, nargs=2, type=Path, metavar=("CSV", "MD"))
    for figure, content in (("lengths", "lengths of its sequences"), ("files", "texts of each of its files")):
        parser.add_argument(
            f"--{figure}-figure",
            required=True,
            nargs="+",
            type=Path,
            metavar="FILE",
            help=f"{content}: files ending in .svg, .pdf or .png",
        )
    parser.add_argument("--notice", default="", help="what stands over everything, where the data call for it")
    add_verify(parser)
    arguments = parser.parse_args()

    from compactbio.corpus.corpus_figures import draw_files, draw_lengths
    from compactbio.corpus.shards import add_counts, read_counts
    from compactbio.corpus.summary import read_lengths, summary_rows, write_table

    corpus, shards = Corpus(arguments.corpus), shard_names(arguments.shards)
    total = add_counts([read_counts(corpus.counts(shard)) for shard in shards])
    stores = [corpus.token_store(tokenizer, shard) for tokenizer in arguments.tokenizers for shard in shards]
    lengths = read_lengths([store.manifest for store in stores])
    csv_path, markdown_path = arguments.table
    write_table(summary_rows(total, lengths), csv_path, markdown_path, total["settings"], arguments.notice)
    draw_lengths(lengths, arguments.lengths_figure, arguments.notice)
    draw_files(total, arguments.files_figure, arguments.notice)


if __name__ == "__main__":
    run_program(main)
