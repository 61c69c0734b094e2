"""Compare every file of a configuration's results and downloads with the digest that its record has of it.

Each file is read, whatever was compared before. A line per damaged file says what to do about it; the exit code is 1
where there is one. What no record names (logs, figures, tables) is not compared: it is drawn from what is.

  python scripts/verify_results.py --configfile config/demo.yaml      or      make verify CONFIG=config/demo.yaml
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from compactbio.digests import compare, leave_memory_aside
from compactbio.errors import UserError
from compactbio.logs import run_program
from compactbio.settings.load import settings_of_files
from compactbio.settings.results import Downloads, Results


def main() -> None:
    """Read the command line, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="configurations merged over config/config.yaml (default: that file alone)",
    )
    parser.add_argument("--results", type=Path, metavar="ROOT", help="results folder, instead of the configuration's")
    parser.add_argument("--downloads", type=Path, metavar="ROOT", help="downloads, instead of the configuration's")
    arguments = parser.parse_args()
    config = settings_of_files(arguments.configfile)
    results = arguments.results or Path(config["results_dir"])
    downloads = arguments.downloads or Path(config["downloads_dir"])
    if not results.is_dir() and not downloads.is_dir():
        raise UserError(f"there is neither {results} nor {downloads}: nothing was run yet, or correct the paths")

    from compactbio.tracing.verification import recorded_everywhere

    leave_memory_aside()
    files, broken = recorded_everywhere(Results(results), Downloads(downloads))
    compared = compare(files)
    lines = [*broken, *map(str, compared.faults)]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    rate = f", {compared.bytes / compared.seconds / 1e9:.2f} GB/s" if compared.seconds > 0 else ""
    logging.info(
        "%d files, %.2f GB, compared with their records in %.1f s%s: %s",
        compared.files,
        compared.bytes / 1e9,
        compared.seconds,
        rate,
        f"{len(lines)} are not as they were written" if lines else "all are as they were written",
    )
    if lines:
        sys.exit(1)


if __name__ == "__main__":
    run_program(main)
