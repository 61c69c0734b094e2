"""Print the way from a cell of a table back to the files that it comes from.

The chain: the cell, each run's score, predictions and fine-tuning, the prepared dataset and its source, the model,
its pre-training, student and teacher, token stores, parsed shards and PubMed files, each with the digests that link
them. What is not there yet is said with a dash. Where two things that should agree do not, the line begins with an
exclamation mark, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from compactbio.digests import leave_memory_aside
from compactbio.errors import UserError
from compactbio.kinds import KINDS
from compactbio.logs import run_program


def main() -> None:
    """Read the command line, walk, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, choices=list(KINDS), help="the table")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--metric", required=True, help="for example f1 or mrr")
    parser.add_argument("--protocol", required=True, choices=["reference", "standard"])
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--results", type=Path, metavar="ROOT", help="results folder")
    source.add_argument(
        "--configfile",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="the results of these configurations, merged over config/config.yaml (default: that file alone)",
    )
    parser.add_argument("--verify", action="store_true", help="compute the digest of every file again")
    parser.add_argument("--full", action="store_true", help="list every file of long lists")
    arguments = parser.parse_args()

    from compactbio.settings.load import settings_of_files
    from compactbio.settings.results import Results
    from compactbio.tracing.cells import Place, trace_cell
    from compactbio.tracing.chain import Chain

    results = arguments.results or Path(settings_of_files(arguments.configfile)["results_dir"])
    if not results.is_dir():
        raise UserError(f"there is no folder {results}: nothing was run for it yet, or correct its path")
    if arguments.verify:
        leave_memory_aside()
    chain = Chain(Results(results), verify=arguments.verify, full=arguments.full)
    place = Place(arguments.task, arguments.dataset, arguments.model, arguments.protocol, arguments.metric)
    trace_cell(chain, place)
    sys.stdout.write("\n".join(chain.lines) + "\n")
    how = (
        "every file's digest computed again" if arguments.verify else "sizes and recorded digests (--verify: all files)"
    )
    logging.info("%d comparisons, %s; %d gaps", chain.checks, how, len(chain.gaps))
    if chain.breaks:
        raise UserError(f"the chain is broken in {len(chain.breaks)} places, the first: {chain.breaks[0]}")


if __name__ == "__main__":
    run_program(main)
