"""When a training has to save and leave: its own time limit, or a signal."""

from __future__ import annotations

import logging
import signal
from types import FrameType

LONGEST_MARGIN_SECONDS = 120.0


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
    """A note of the first SIGTERM or SIGUSR1 that arrived; `reason` is None until then."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def install(self) -> StopSignal:
        """Take over both signals (main thread only) and return this object."""
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.reason is None:
            self.reason = name
            logging.warning("%s received: saving a checkpoint and leaving after this step", name)
