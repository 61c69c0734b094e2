"""Dry runs without the seconds in which Snakemake is imported: a process that has it forks for each.

Started as a program by `Planner`; requests and answers are JSON lines on its standard input and output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


class Planner:
    """The process, seen from the tests; it plans one workflow at a time."""

    def __init__(self) -> None:
        """Start it."""
        self._kept = tempfile.TemporaryDirectory()
        self._printed = [Path(self._kept.name, name) for name in ("stdout", "stderr")]
        self._process = subprocess.Popen([sys.executable, __file__], stdin=-1, stdout=-1, text=True)

    def run(self, folder: Path, arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run Snakemake with arguments, --dry-run among them, in a folder; return what it printed and its exit code."""
        assert self._process.stdin and self._process.stdout
        request = {"folder": str(folder), "arguments": arguments, "environment": environment}
        self._process.stdin.write(json.dumps(request | {"printed": list(map(str, self._printed))}) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(path.read_text() for path in self._printed))

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=10)
        self._kept.cleanup()


def _serve() -> None:
    """Answer requests until the input ends."""
    import snakemake.cli  # noqa: F401  what children share

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _plan(**json.loads(line))
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


def _plan(folder: str, arguments: list[str], environment: dict[str, str], printed: list[str]) -> None:
    """Be `python -m snakemake` in this process."""
    from snakemake.cli import main

    for number, path in enumerate(printed, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder
    sys.argv = ["snakemake", *arguments]
    main()


if __name__ == "__main__":
    _serve()
