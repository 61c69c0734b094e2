"""What the jobs of each rule and model cost, and what they should ask for next time."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from datetime import datetime
from statistics import median

from compactbio.cluster.accounting import Start
from compactbio.text_tables import aligned_columns

COLUMNS = (
    *("rule", "model", "starts", "jobs", "queue (median)", "run time", "GPU-hours", "CPU used", "memory used"),
    "peak MB",
)
MEMORY_MARGIN, TIME_MARGIN = 1.3, 1.5  # above the largest that was seen
SLICED = ("pretrain_model", "finetune_model")  # they use their limit up and are continued: their time is not their need


def table(grouped: Mapping[tuple[str, str], list[Start]]) -> str:
    """Return a line for each rule and model and one for all, as aligned columns."""
    everything = [start for starts in grouped.values() for start in starts]
    rows = [COLUMNS, *(_row(*key, starts) for key, starts in sorted(grouped.items())), _row("all", "", everything)]
    return aligned_columns(rows)


def suggestions(grouped: Mapping[tuple[str, str], list[Start]], rules: Container[str]) -> list[str]:
    """Return values for --set-resources, one line a rule, from the largest need that was seen; groups have none."""
    by_rule: dict[str, list[Start]] = {}
    for (rule, _), starts in grouped.items():
        by_rule.setdefault(rule, []).extend(starts)
    lines = []
    for rule, starts in sorted(by_rule.items()):
        finished = [start for start in starts if start.state == "COMPLETED"]
        peak = max((start.peak_mb for start in starts), default=0.0)
        if not finished or peak == 0 or rule not in rules:
            continue
        values = [f"{rule}:mem_mb={_rounded(MEMORY_MARGIN * peak, 500)}"]
        if rule not in SLICED:
            minutes = TIME_MARGIN * max(start.seconds for start in finished) / 60
            values.append(f"{rule}:runtime={_rounded(minutes, 5)}")
        lines.append(" ".join(values))
    return lines


def gpu_hours(starts: Iterable[Start]) -> float:
    """Return the hours for which GPUs were held."""
    return sum(start.gpus * start.seconds for start in starts) / 3600


def queue_seconds(start: Start) -> float:
    """Return how long a job waited before this start."""
    waited = datetime.fromisoformat(start.started) - datetime.fromisoformat(start.submitted)
    return max(0.0, waited.total_seconds())


def _row(rule: str, model: str, starts: list[Start]) -> tuple[str, ...]:
    """Return the cells of a line."""
    seconds = sum(start.seconds for start in starts)
    held = sum(start.seconds * start.cores for start in starts)
    used = sum(start.cpu_seconds for start in starts)
    peak, asked = max(start.peak_mb for start in starts), max(start.asked_mb for start in starts)
    return (
        rule,
        model or "-",
        str(len(starts)),
        str(len({start.number for start in starts})),
        _clock(median(queue_seconds(start) for start in starts)),
        _clock(seconds),
        f"{gpu_hours(starts):.2f}",
        f"{used / held:.0%}" if held else "-",
        f"{peak / asked:.0%}" if asked else "-",
        f"{peak:.0f}" if peak else "-",
    )


def _clock(seconds: float) -> str:
    """Return a time span as hours:minutes:seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _rounded(value: float, step: int) -> int:
    """Return a number rounded up to a multiple."""
    return step * max(1, math.ceil(value / step))
