"""Print precision, recall and F1 of predicted entities as JSON; both files in BioBERT's layout."""

import argparse
import json
import sys
from pathlib import Path

from compactbio.logs import run_program


def main() -> None:
    """Parse the command line, score, print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="BioBERT's layout: word<TAB>label on a line, a blank line between sentences. An entity is right if "
        "its start, end and type are; `entities` is the number of gold ones.",
    )
    parser.add_argument("gold", type=Path, metavar="GOLD.tsv", help="words with their true labels")
    parser.add_argument("predicted", type=Path, metavar="PREDICTED.tsv", help="the same words, predicted labels")
    arguments = parser.parse_args()

    from compactbio.scoring.tagged_files import score_tagged_files

    scores = score_tagged_files(arguments.gold, arguments.predicted)
    sys.stdout.write(json.dumps(scores, indent=2) + "\n")


if __name__ == "__main__":
    run_program(main)
