"""The submissions of a run: each start of its program, what it gained, and the time of all of them together."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

from compactbio.files import read_json, write_json
from compactbio.provenance import Found, Submission

SUBMISSIONS = "submissions.json"
KILLED = "killed"


class Submissions:
    """A list kept beside the checkpoints; the main process writes it.

    A submission that was killed could not note its end: the next one notes for it what the last checkpoint holds.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / SUBMISSIONS
        remake = "delete it: what earlier tries took is then not counted"
        self.all: list[Submission] = read_json(self.path, list[Submission], remake) if self.path.is_file() else []

    def begin(self, *, step: int, seconds: float, lacked_memory: bool = False) -> None:
        """Note a start at the step and with the seconds that earlier submissions left in a checkpoint.

        Args:
            lacked_memory: a process of the one before left a trace of that.
        """
        if self.all and "reason" not in self.all[-1]:
            if lacked_memory:
                self.all[-1]["out_of_memory"] = True
            self.end(step=step, seconds=seconds, reason=KILLED)
        submission: Submission = {
            "job": os.environ.get("SLURM_JOB_ID"),
            "host": socket.gethostname(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "processes": int(os.environ.get("WORLD_SIZE", 1)),
            "from_step": step,
            "before": seconds,
        }
        self.all.append(submission)
        write_json(self.path, self.all)

    def note(self, **facts: Unpack[Found]) -> None:
        """Note what is known once torch is loaded."""
        self.all[-1].update(facts)
        write_json(self.path, self.all)

    def fitting_tokens(self, *, device: str, processes: int) -> int | None:
        """Return how many positions of a micro-batch an earlier submission on such devices found to fit.

        Half of them where it ran out of memory; None where no submission found out.
        """
        for one in reversed(self.all):
            sizes = one.get("micro_batches", {})
            if (one.get("device"), one["processes"]) == (device, processes) and sizes.get("automatic"):
                tokens: int = sizes["tokens"]
                return tokens // 2 if one.get("out_of_memory") else tokens
        return None

    def end(self, *, step: int, seconds: float, reason: str) -> None:
        """Note how the newest submission ended: its step, and the seconds of all together up to here."""
        newest = self.all[-1]
        gained = max(seconds - newest.pop("before"), 0.0)
        newest.update({"to_step": step, "seconds": round(gained, 3), "reason": reason})
        write_json(self.path, self.all)

    def gpu_hours(self) -> float:
        """Return the GPU-hours of all submissions."""
        return round(sum(one.get("seconds", 0.0) * one.get("gpus", 0) for one in self.all) / 3600, 5)
