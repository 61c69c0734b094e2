"""How far the host may be ahead of the GPU."""

from __future__ import annotations

from collections import deque

import torch

STEPS_AHEAD = 2  # enough that the GPU never waits for the next launch


class Pace:
    """Keeps the host a few steps ahead of a GPU, which does what it is asked to some time later.

    Without it a launch queue would hold seconds of work, which a signal to save and leave would have to wait for, and
    the time of a step, which the deadline goes by, would be the host's.
    """

    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"
        self.begun: deque[torch.cuda.Event] = deque()

    def mark(self) -> None:
        """Note that a step has been handed to the device."""
        if self.on_gpu:
            event = torch.cuda.Event(blocking=True)  # the thread that makes batches goes on meanwhile
            event.record()
            self.begun.append(event)

    def keep(self) -> None:
        """Wait until all but the last steps are done."""
        while len(self.begun) >= STEPS_AHEAD:
            self.begun.popleft().synchronize()

    def finish(self) -> None:
        """Wait until all steps are done: what comes next is then not charged with their time."""
        while self.begun:
            self.begun.popleft().synchronize()
