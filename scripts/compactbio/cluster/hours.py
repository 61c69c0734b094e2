"""GPU-hours and wall time of the pre-trainings, from the steps that were timed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compactbio.cluster.timings import Timing, timed_settings
from compactbio.files import read_json
from compactbio.settings.runs import pretraining_run
from compactbio.training.deadlines import usable_seconds

START_MINUTES = 2.0  # of each submission, for imports, inputs and the last checkpoint


@dataclass(frozen=True)
class Forecast:
    """What a model's pre-training will take with so many GPUs (0: on the CPU) and a time limit."""

    model: str
    steps: int
    seconds_per_step: float
    peak_memory_mb: float
    gpus: int
    submissions: int
    hardware: str

    @property
    def hours(self) -> float:
        """Return the hours of training, without queues and starts."""
        return self.steps * self.seconds_per_step / 3600

    @property
    def gpu_hours(self) -> float:
        """Return the hours times the GPUs."""
        return self.hours * self.gpus


def read_timings(config: dict[str, Any], trained: Iterable[str], path: Path) -> dict[str, Timing]:
    """Return the timings in a file by model, without those of other settings than the present ones."""
    found: dict[str, Timing] = read_json(path) if path.is_file() else {}
    return {
        name: found[name]
        for name in trained
        if name in found and found[name]["settings"] == timed_settings(config, name)
    }


def forecasts(config: dict[str, Any], timings: Mapping[str, Timing], *, gpus: int, minutes: float) -> list[Forecast]:
    """Return what each timed model will take with so many GPUs and a time limit a submission.

    With another number of GPUs than was timed, the time of a step is taken to fall as their number rises.
    """
    usable = max(1.0, usable_seconds(minutes) / 60 - START_MINUTES)
    found = []
    for name, timing in timings.items():
        steps = pretraining_run(config, name)["optimisation"]["steps"]
        seconds = timing["seconds_per_step"] * max(timing["gpus"], 1) / max(gpus, 1)
        submissions = math.ceil(steps * seconds / 60 / usable)
        peak, hardware = timing["peak_memory_mb"], timing["hardware"]
        found.append(Forecast(name, steps, seconds, peak, gpus if timing["gpus"] else 0, submissions, hardware))
    return found


def wall_hours(config: dict[str, Any], found: Iterable[Forecast]) -> float:
    """Return the hours until the last is trained if none waits for a GPU: a student waits for its teacher only."""
    hours = {forecast.model: forecast.hours for forecast in found}

    def until(name: str | None) -> float:
        return 0.0 if name not in hours else hours[name] + until(config["models"][name].get("teacher"))

    return max(map(until, hours), default=0.0)


def time_in_words(hours: float) -> str:
    """Return a time in hours, in minutes where it is less than one."""
    return f"{amount(hours)} h" if hours >= 1 else f"{60 * hours:.2g} min"


def amount(value: float) -> str:
    """Return a number with three digits, large ones whole and never as a power of ten."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
