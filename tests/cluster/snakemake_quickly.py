"""Snakemake that looks every second whether a SLURM job ended; the plugin's own waits grow to minutes.

Only the submitting process is changed. Its jobs run `python -m snakemake`, and the profile is read as it is.
"""

import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

RemoteExecutor.next_seconds_between_status_checks = property(lambda self: 1, lambda self, seconds: None)

if __name__ == "__main__":
    sys.argv[0] = "snakemake"
    sys.exit(main())
