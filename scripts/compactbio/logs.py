"""One log format for every program, and the way a program ends."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from compactbio.errors import UserError


def start_logging() -> None:
    """Send log lines with time, level and the program's name to standard error."""
    program = Path(sys.argv[0]).stem
    rank = os.environ.get("RANK")
    name = f"{program}[{rank}]" if rank is not None else program
    logging.basicConfig(
        level=logging.INFO,
        format=f"%(asctime)s %(levelname)s {name}: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        stream=sys.stderr,
        force=True,
    )
    for noisy in ("httpx", "httpx2", "httpcore", "urllib3", "fsspec", "filelock", "matplotlib", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def run_program(main: Callable[[], None]) -> None:
    """Run a program's main function; turn what the user can fix into one line and exit code 1."""
    start_logging()
    try:
        main()
    except UserError as error:
        logging.error("%s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        logging.error("interrupted")
        sys.exit(130)
    except (PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        if error.filename is None:  # no path to name: nothing that the user gave
            raise
        logging.error("%s: %s; give another path, or correct what is there", error.filename, error.strerror)
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" at {error.filename}" if error.filename else ""
        logging.error(
            "no space left%s (%s): free disk space or quota, then start again; "
            "finished files are kept, half-written ones are not taken for finished",
            where,
            error.strerror,
        )
        sys.exit(1)
