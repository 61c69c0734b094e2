"""When a training has to save and leave: its own time limit, or a signal."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from types import FrameType

LONGEST_MARGIN_SECONDS = 120.0
# SIGHUP comes when a terminal is closed, unless nohup has it ignored
STOPPING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP)
SAME_SECONDS = 0.5
INTERRUPTED_CODE = 130  # as a shell says of a program that SIGINT ended


def deadline_after(max_minutes: float | None, *, started: float) -> float | None:
    """Return the `time.monotonic()` value at which a program should have left, or None without a limit.

    The loop subtracts the time that a save takes, which it measures.
    """
    return None if max_minutes is None else started + usable_seconds(max_minutes)


def usable_seconds(max_minutes: float) -> float:
    """Return what a time limit leaves for a program.

    A tenth, at most two minutes, is kept for what happens around it (start of the job, end of the process).
    """
    seconds = 60.0 * max_minutes
    return seconds - min(LONGEST_MARGIN_SECONDS, 0.1 * seconds)


class StopSignal:
    """A note of the first signal that asks to save and leave; `reason` is None until then.

    A second SIGINT ends the process at once. A terminal sends one ^C to all processes of a group, and those that start
    others may hand it on: what comes within SAME_SECONDS is one.
    """

    def __init__(self, on_leaving: Callable[[], None] | None = None) -> None:
        """Take what to call before the process ends at once."""
        self.reason: str | None = None
        self.on_leaving = on_leaving
        self._interrupted_at: float | None = None

    def install(self) -> StopSignal:
        """Take over the signals (main thread only) and return this object."""
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGINT:
                signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if number == signal.SIGINT:
            now = time.monotonic()
            if self._interrupted_at is None:
                self._interrupted_at = now
            elif now - self._interrupted_at > SAME_SECONDS:
                self._leave()
        if self.reason is None:
            self.reason = name
            again = "; interrupt again to leave at once without saving" if number == signal.SIGINT else ""
            if _speaks_for_all():
                logging.warning("%s received: saving a checkpoint and leaving after this step%s", name, again)

    def _leave(self) -> None:
        """End the process, whatever its threads do."""
        try:
            if self.on_leaving is not None:
                self.on_leaving()
        finally:
            if _speaks_for_all():
                logging.error("interrupted again: leaving at once; the next start goes on from the last checkpoint")
            os._exit(INTERRUPTED_CODE)


def _speaks_for_all() -> bool:
    """Return whether this is the only process or the first of several."""
    return os.environ.get("RANK", "0") == "0"
