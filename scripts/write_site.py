"""Write drafts of the site's own values: profiles/slurm/partitions.yaml and profiles/slurm/site.env.

Partitions come from sinfo and scontrol, accounts from sacctmgr. Files that are there are kept.
"""

from __future__ import annotations

import argparse
import getpass
import logging
from pathlib import Path

from compactbio.cluster.partitions import ask_partitions, partition_file, preemptible
from compactbio.cluster.site import ask_accounts, environment_file, likely_scratch
from compactbio.files import write_text
from compactbio.logs import run_program

PROFILE = Path(__file__).resolve().parents[1] / "profiles" / "slurm"


def main() -> None:
    """Ask the cluster, write the drafts and say what to check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", type=Path, default=PROFILE, help="default: profiles/slurm")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    arguments = parser.parse_args()
    partitions = ask_partitions()
    accounts = ask_accounts(getpass.getuser())
    if accounts.unknown:
        logging.warning("accounts are not known: %s", accounts.unknown)
    drafts = {
        "partitions.yaml": partition_file(partitions),
        "site.env": environment_file(accounts, likely_scratch()),
    }
    for name, text in drafts.items():
        path = arguments.output_dir / name
        if path.exists() and not arguments.force:
            logging.info("%s is kept as it is (--force replaces it)", path)
            continue
        write_text(path, text)
        logging.info("%s is written: its comments say what to check", path)
    left_out = [partition.name for partition in partitions if preemptible(partition, partitions)]
    if left_out:
        logging.info("commented out, since jobs may be preempted there: %s", ", ".join(left_out))
    if not any(partition.gpus for partition in partitions):
        logging.warning("no partition names GPUs: add max_gpu to those that have them")


if __name__ == "__main__":
    run_program(main)
