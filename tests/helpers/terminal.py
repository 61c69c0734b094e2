"""A program at a terminal of its own, as a person has it: what it prints is read, and ^C is typed."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

CONTROL_C = b"\x03"


class Terminal:
    """A program that is the foreground of a pseudo-terminal."""

    def __init__(self, command: list[str | Path], environment: dict[str, str], folder: Path | None = None) -> None:
        """Start the program in a session whose terminal is the pseudo-terminal."""
        self.master, slave = pty.openpty()
        # sh takes the terminal for its own by opening it, and gives its place to the program
        take = ["sh", "-c", 'exec < "$0" > "$0" 2>&1; exec "$@"', os.ttyname(slave), *map(str, command)]
        self.process = subprocess.Popen(take, env=environment, cwd=folder, start_new_session=True)
        self._keep = slave
        self.printed = ""

    def read(self, seconds: float) -> None:
        """Take up what is printed within so many seconds."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                self.printed += os.read(self.master, 65536).decode(errors="replace")

    def wait_for(self, condition: Callable[[], bool], seconds: float = 180.0) -> None:
        """Wait until a condition holds while the program runs.

        Raises:
            AssertionError: it ended before, or the time was over.
        """
        until = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None or time.monotonic() > until:
                self._kill()
                raise AssertionError(f"code {self.process.poll()}:\n{self.printed}")
            self.read(0.02)

    def wait_for_text(self, text: str) -> None:
        """Wait until the program has printed a text."""
        self.wait_for(lambda: text in self.printed)

    def type(self, keys: bytes) -> None:
        """Type keys."""
        os.write(self.master, keys)

    def _kill(self) -> None:
        """Kill the program and what it has started in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self, seconds: float = 120.0) -> int:
        """Wait for the end and return the exit code; a program that does not end is killed."""
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            self.read(0.05)
        if self.process.poll() is None:
            self._kill()
            raise AssertionError(f"it did not end:\n{self.printed}")
        self.read(0.1)
        for handle in (self.master, self._keep):
            with contextlib.suppress(OSError):
                os.close(handle)
        return self.process.returncode
