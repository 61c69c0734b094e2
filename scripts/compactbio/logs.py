"""One log format for every program, and the way a program ends."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from compactbio.errors import UserError
from compactbio.file_errors import OF_THE_DISK, in_one_line


def start_logging(part: str = "") -> None:
    """Send log lines with time, level and the program's name, and what part of its work it is, to standard error."""
    program = Path(sys.argv[0]).stem
    part = part or os.environ.get("RANK", "")
    name = f"{program}[{part}]" if part else program
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
        sys.stdout.flush()
    except UserError as error:
        logging.error("%s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        logging.error("interrupted")
        sys.exit(130)
    except BrokenPipeError:  # whoever read what is printed has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        # without a path it is nothing that the user gave, unless the disk itself is at fault
        if error.errno is None or (error.filename is None and error.errno not in OF_THE_DISK):
            raise
        logging.error("%s", in_one_line(error))
        sys.exit(1)
