"""What a user sees of a training: JSON lines beside the checkpoint, log lines, a bar on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Required, TypedDict, cast

from compactbio.file_errors import writing
from compactbio.files import write_text
from compactbio.forms import read_json_lines


class Rates(TypedDict, total=False):
    """How fast a training was since the line before, all processes together; FLOPs where the batches count them."""

    tokens_per_second: float
    sequences_per_second: float
    seconds_per_step: float
    eta_seconds: float
    model_flops_per_second: float
    model_flop_utilisation: float
    """Share of the dense peak, for GPUs in `devices.PEAKS`."""


class MetricsLine(Rates, total=False):
    """A line of metrics: of a training step with all fields but `evaluation`, of an evaluation with step and that."""

    step: Required[int]
    total_steps: int
    loss: float
    """Mean over the steps since the line before, as are the terms."""
    terms: dict[str, float]
    learning_rate: float
    gradient_norm: float
    peak_memory_mb: float
    evaluation: dict[str, Any]


class MetricsLog:
    """Appends a JSON line per logged step to a file; only the main process writes."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path = path
        self.writes = writes
        self._bar: Any = None

    def start(self, *, done_steps: int, total_steps: int) -> None:
        """Drop lines of steps after `done_steps` (they will be run again) and open the bar."""
        if not self.writes:
            return
        kept = [json.dumps(line) for line in read_metrics(self.path) if line["step"] <= done_steps]
        write_text(self.path, "".join(f"{line}\n" for line in kept))
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(initial=done_steps, total=total_steps, unit="step", dynamic_ncols=True)

    def advance(self) -> None:
        """Move the bar by one step."""
        if self._bar is not None:
            self._bar.update(1)

    def write(self, line: MetricsLine) -> None:
        """Append a line, and write it to the log in words."""
        if not self.writes:
            return
        with writing(self.path), self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        if self._bar is None:
            logging.info("%s", _in_words(line))
        elif "loss" in line:
            self._bar.set_postfix(loss=f"{line['loss']:.4f}")

    def close(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def read_metrics(path: Path) -> list[MetricsLine]:
    """Return the lines that a MetricsLog wrote; none where there is no file."""
    return cast(list[MetricsLine], read_json_lines(path, MetricsLine))


def _in_words(line: MetricsLine) -> str:
    """Return a line of metrics as a sentence for the log."""
    if "loss" not in line:
        return f"step {line['step']}: " + ", ".join(
            f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}"
            for name, value in line.get("evaluation", {}).items()
        )
    parts = [f"step {line['step']}/{line['total_steps']}", f"loss {line['loss']:.4f}"]
    if len(line["terms"]) > 1:
        parts.append("(" + ", ".join(f"{name} {value:.4f}" for name, value in line["terms"].items()) + ")")
    parts.append(f"learning rate {line['learning_rate']:.2e}")
    if line.get("tokens_per_second"):
        parts.append(f"{line['tokens_per_second']:,.0f} tokens/s")
    if "model_flop_utilisation" in line:
        parts.append(f"{line['model_flop_utilisation']:.0%} of the peak")
    if "eta_seconds" in line:
        parts.append(f"ready in {timedelta(seconds=round(line['eta_seconds']))}")
    return " ".join(parts)
