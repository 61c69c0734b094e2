"""The site's own values, in files that are not tracked: the drafts that `make site` writes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from compactbio.errors import UserError
from compactbio.slurm import output_of, rows_of

ENVIRONMENT = """\
# What this site needs: a draft by `make site`, to check and edit. In every shell that starts the workflow:
#   source profiles/slurm/site.env
# Jobs inherit the environment of that shell, so what is loaded here is loaded there.

# Account: {accounts}.
{account_line}
# Modules or the environment that `python` and `snakemake` come from, for example:
# module load python/3.11
# source .venv/bin/activate

# Large, fast, shared, and yours; home folders are too small for caches.
COMPACTBIO_SCRATCH="{scratch}"
export HF_HOME="$COMPACTBIO_SCRATCH/huggingface"
export TRITON_CACHE_DIR="$COMPACTBIO_SCRATCH/triton"
export TORCHINDUCTOR_CACHE_DIR="$COMPACTBIO_SCRATCH/inductor"
export TMPDIR="$COMPACTBIO_SCRATCH/tmp"
mkdir -p "$TMPDIR"

# Trainings over several nodes, where the nodes have more than one network (`ip link` on a node shows the names):
# export NCCL_SOCKET_IFNAME=ib0 GLOO_SOCKET_IFNAME=ib0
"""


@dataclass(frozen=True)
class Accounts:
    """The accounts that a user may charge, and the one used if none is named; why none is known."""

    names: Sequence[str] = ()
    default: str = ""
    unknown: str = ""


def ask_accounts(user: str) -> Accounts:
    """Return the accounts of a user; unknown where the site keeps no accounts or does not show them."""
    options = ("--noheader", "--parsable2", "show")
    try:
        associations = output_of("sacctmgr", *options, "associations", f"user={user}", "format=Account,Partition")
        defaults = output_of("sacctmgr", *options, "user", user, "format=DefaultAccount")
    except UserError as error:
        return Accounts(unknown=str(error))
    return read_accounts(associations, defaults)


def read_accounts(associations: str, defaults: str) -> Accounts:
    """Return the accounts in what sacctmgr prints, each once."""
    names = dict.fromkeys(row["account"] for row in rows_of(associations, "account", "partition"))
    return Accounts(tuple(names), defaults.strip().splitlines()[0] if defaults.strip() else "")


def environment_file(accounts: Accounts, scratch: str) -> str:
    """Return the draft of site.env."""
    if accounts.unknown or not accounts.names:
        known = "sacctmgr names none; ask your site whether it needs one"
        line = "# export SBATCH_ACCOUNT=NAME"
    else:
        known = f"yours are {', '.join(accounts.names)}"
        known += f"; without this line jobs go to {accounts.default}" if accounts.default else ""
        line = f"export SBATCH_ACCOUNT={accounts.default or accounts.names[0]}"
    return ENVIRONMENT.format(accounts=known, account_line=line, scratch=scratch)


def likely_scratch() -> str:
    """Return the folder for large files that the site's environment names, as a shell word."""
    for name in ("SCRATCH", "WORK", "SCRATCHDIR", "TMPDIR"):
        if os.environ.get(name):
            return f"${name}/compactbio"
    return "$PWD/results/scratch"
