"""The submissions of a run: each start of its program, what it gained, and the time of all of them together."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compactbio.files import read_json, write_json

SUBMISSIONS = "submissions.json"
KILLED = "killed"


class Submissions:
    """A list kept beside the checkpoints; the main process writes it.

    A submission that was killed cannot say how far it came: the next one notes for it what the last checkpoint holds.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / SUBMISSIONS
        self.all: list[dict[str, Any]] = read_json(self.path) if self.path.is_file() else []

    def begin(self, *, step: int, seconds: float) -> None:
        """Note a start at the step and with the seconds that earlier submissions left in a checkpoint."""
        if self.all and "reason" not in self.all[-1]:
            self.end(step=step, seconds=seconds, reason=KILLED)
        known = {"job": os.environ.get("SLURM_JOB_ID"), "host": socket.gethostname()}
        started = datetime.now(UTC).isoformat(timespec="seconds")
        processes = int(os.environ.get("WORLD_SIZE", 1))
        self.all.append(known | {"started": started, "processes": processes, "from_step": step, "before": seconds})
        write_json(self.path, self.all)

    def use(self, gpus: int) -> None:
        """Note the number of GPUs, known once torch is loaded."""
        self.all[-1]["gpus"] = gpus
        write_json(self.path, self.all)

    def end(self, *, step: int, seconds: float, reason: str) -> None:
        """Note how the newest submission ended: its step, and the seconds of all together up to here."""
        newest = self.all[-1]
        before = newest.pop("before")
        newest |= {"to_step": step, "seconds": round(max(seconds - before, 0.0), 3), "reason": reason}
        write_json(self.path, self.all)

    def gpu_hours(self) -> float:
        """Return the GPU-hours of all submissions."""
        return round(sum(one.get("seconds", 0.0) * one.get("gpus", 0) for one in self.all) / 3600, 5)
