"""Print the factoid scores of a BioASQ response file as JSON, equal to the official scorer's."""

import argparse
import json
import sys
from pathlib import Path

from compactbio.logs import run_program
from compactbio.scoring.bioasq_files import EDITIONS, score_files


def main() -> None:
    """Parse the command line, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("golden", type=Path, metavar="GOLDEN.json", help="the challenge's golden file")
    parser.add_argument("response", type=Path, metavar="RESPONSE.json", help="a system's response")
    parser.add_argument(
        "--edition",
        type=int,
        choices=EDITIONS,
        default=5,
        help="the official scorer's option -e; from 9 on it leaves out questions without a response, where the "
        "earlier ones crash (default: %(default)s)",
    )
    arguments = parser.parse_args()
    scores = score_files(arguments.golden, arguments.response, arguments.edition)
    sys.stdout.write(json.dumps(scores, indent=2) + "\n")


if __name__ == "__main__":
    run_program(main)
