"""One log format for every program, and the way a program ends."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from compactbio.errors import UserError

_FULL = (
    "no space left: free disk space or quota, then start again; finished files are kept, half-written ones are not "
    "taken for finished"
)
_PATH = "give another path, or correct what is there"
_ADVICE = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "it is on a file system that is mounted read-only: give another path (results_dir, downloads_dir)",
    errno.EIO: "the disk or its server reports an error: see whether it is sound, then start again",
    errno.ESTALE: "the file server has lost it: start again",
    errno.EACCES: _PATH,
    errno.EPERM: _PATH,
    errno.EEXIST: _PATH,
    errno.ENOTDIR: _PATH,
    errno.EISDIR: _PATH,
    errno.ENAMETOOLONG: _PATH,
    errno.ELOOP: _PATH,
}
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE)


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
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0)
        # without a path it is nothing that the user gave, unless the disk itself is at fault
        if advice is None or (error.filename is None and error.errno not in _OF_THE_DISK):
            raise
        logging.error("%s%s; %s", f"{error.filename}: " if error.filename else "", error.strerror, advice)
        sys.exit(1)
