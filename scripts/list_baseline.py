"""Print what a PubMed baseline offers now, as the YAML block that configures it."""

from __future__ import annotations

import argparse
import logging
import sys

from compactbio.errors import UserError
from compactbio.logs import run_program

NLM = "https://ftp.ncbi.nlm.nih.gov/pubmed/baseline/"


def main() -> None:
    """Print the block of the newest year, or of the year asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", default=NLM, help=f"https:// or file:// address (default {NLM})")
    parser.add_argument("--year", type=int, help="which year, where a mirror holds several (default the newest)")
    arguments = parser.parse_args()

    from compactbio.corpus.baseline import configuration_block, describe_offer, list_baseline

    offer = list_baseline(arguments.base_url)
    logging.info("%s offers %s", arguments.base_url, describe_offer(offer))
    year = arguments.year or max(offer, default=None)
    if year not in offer:
        wanted = f"files of the {year} baseline" if year else "files named like pubmed26n0001.xml.gz"
        raise UserError(f"{arguments.base_url} has no {wanted}: it offers {describe_offer(offer)}")
    sys.stdout.write(configuration_block(arguments.base_url, year, offer[year]))


if __name__ == "__main__":
    run_program(main)
