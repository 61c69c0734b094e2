"""Print how far each training of a configuration is: done, running, queued, interrupted, failed, stalled or missing.

Reads the results folder and SLURM's queue, where there is one. Starts no Snakemake, so it may run beside one.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from compactbio.cluster.status import ask_queue, table, trainings
from compactbio.errors import UserError
from compactbio.logs import run_program
from compactbio.settings.load import settings_of_files
from compactbio.slurm import slurm_is_here


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="as given to snakemake; default: none")
    arguments = parser.parse_args()
    config = settings_of_files(arguments.configfile)
    jobs = []
    if slurm_is_here():
        try:
            jobs = ask_queue()
        except UserError as error:
            logging.warning("the queue is not known: %s", error)
    sys.stdout.write(table(trainings(config, jobs, Path.cwd())))


if __name__ == "__main__":
    run_program(main)
