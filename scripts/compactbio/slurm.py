"""SLURM's commands, asked from a program: what they print, or why they print nothing."""

from __future__ import annotations

import shutil
import subprocess

from compactbio.errors import UserError

SECONDS = 60.0  # a controller under load answers late; one that is down never does


def slurm_is_here() -> bool:
    """Return whether this machine has SLURM's commands."""
    return shutil.which("sinfo") is not None


def output_of(*command: str, seconds: float = SECONDS, check: bool = True) -> str:
    """Return what a command prints; without `check` also where its exit code is not 0.

    Raises:
        UserError: it is missing, failed, or did not answer in time.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=check)
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not on the PATH: start this on a machine with SLURM's commands") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"`{' '.join(command)}` did not answer within {seconds:.0f} s: try again later") from None
    except subprocess.CalledProcessError as error:
        printed = " ".join((error.stderr or error.stdout or "").split())
        raise UserError(f"`{' '.join(command)}` failed: {printed or f'code {error.returncode}'}") from None
    return done.stdout


def rows_of(text: str, *columns: str) -> list[dict[str, str]]:
    """Return the lines of a table whose cells are separated by `|`, by the names of its columns.

    Raises:
        UserError: a line has another number of cells.
    """
    rows = []
    for line in filter(None, text.splitlines()):
        cells = line.split("|")
        if len(cells) != len(columns):
            raise UserError(f"{len(columns)} cells were expected ({', '.join(columns)}), got: {line}")
        rows.append({column: cell.strip() for column, cell in zip(columns, cells, strict=True)})
    return rows


def minutes_of(text: str) -> float | None:
    """Return a time of SLURM's in minutes ([days-][hours:]minutes:seconds); None where there is no limit."""
    if text in ("infinite", "UNLIMITED", "n/a", "INVALID", "Partition_Limit", "NOT_SET", ""):
        return None
    days, _, clock = text.rpartition("-")
    parts = [float(part) for part in clock.split(":")]
    if days:  # days-hours, days-hours:minutes, days-hours:minutes:seconds
        hours, minutes, seconds = (*parts, 0.0, 0.0)[:3]
    else:  # minutes, minutes:seconds, hours:minutes:seconds
        hours, minutes, seconds = {1: (0.0, *parts, 0.0), 2: (0.0, *parts), 3: tuple(parts)}[len(parts)]
    return 1440.0 * float(days or 0) + 60.0 * hours + minutes + seconds / 60.0
