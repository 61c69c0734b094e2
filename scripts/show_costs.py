"""Print what the jobs of a workflow cost: time in the queue and on nodes, GPU-hours, the share used of what was asked.

Reads SLURM's accounting (sacct), by rule and model, and suggests what the next jobs should ask for.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from compactbio.cluster.costs import ask_accounting, suggestions, table
from compactbio.errors import UserError
from compactbio.logs import run_program
from compactbio.settings.load import rule_names, settings_of_files


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="as given to snakemake; default: none")
    parser.add_argument("--since", default="now-30days", help="as sacct's --starttime; default: 30 days ago")
    arguments = parser.parse_args()
    config = settings_of_files(arguments.configfile)
    try:
        starts = ask_accounting(Path.cwd(), arguments.since, config["models"])
    except UserError as error:
        raise UserError(
            f"{error}. Without SLURM's accounting the times and peak memory of each job are in "
            f"{config['results_dir']}/benchmarks/, and GPU-hours of trainings in each provenance.json"
        ) from None
    if not starts:
        sys.stdout.write(f"no jobs of {Path.cwd()} since {arguments.since}\n")
        return
    sys.stdout.write(table(starts))
    advice = suggestions(starts, rule_names())
    if advice:
        sys.stdout.write("\nTo ask for what was needed, and a margin, add to the command:\n  --set-resources")
        sys.stdout.write("".join(f" \\\n    {line}" for line in advice) + "\n")


if __name__ == "__main__":
    run_program(main)
