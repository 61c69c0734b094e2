"""Processes of this machine, by what /proc says of them; any may be gone the next moment."""

from __future__ import annotations

import os
from pathlib import Path


def kill(pid: int, number: int) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def is_gone(pid: int) -> bool:
    """Return whether a process ended (a zombie did)."""
    return not set(status_of(pid, "State")) - {"Z", "X", "(zombie)", "(dead)"}


def status_of(pid: int, key: str) -> list[str]:
    """Return the words that /proc says of a process under a key; none where it is gone."""
    lines = text_of(Path(f"/proc/{pid}/status")).splitlines()
    return next((line.split()[1:] for line in lines if line.startswith(f"{key}:")), [])


def text_of(path: Path) -> str:
    """Return a file's text, empty where it is gone."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
