"""What the workflow's jobs cost by SLURM's accounting (sacct), and what they should ask for next time.

By hand: the plugin's efficiency report is of one start of Snakemake, made at its end, and has no time in the queue, no
GPU-hours, no models and nothing of what was put back into the queue.
"""

from __future__ import annotations

import getpass
import math
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from compactbio.settings.results import SLURM_LOGS
from compactbio.slurm import minutes_of, output_of, rows_of
from compactbio.text_tables import aligned_columns

SACCT_COLUMNS = (
    *("JobID", "JobName%80", "State", "Submit", "Eligible", "Start", "ElapsedRaw", "TotalCPU", "AllocTRES", "MaxRSS"),
    *("WorkDir", "Comment"),
)
COLUMNS = (
    *("rule", "model", "starts", "jobs", "queue (median)", "run time", "GPU-hours", "CPU used", "memory used"),
    "peak MB",
)
JOB_NAME = "compactbio_"  # slurm-jobname-prefix of profiles/slurm/config.yaml
UNITS = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "": 1 / 1024**2}
MEMORY_MARGIN, TIME_MARGIN = 1.3, 1.5  # above the largest that was seen
SLICED = ("pretrain_model", "finetune_model")  # they use their limit up and are continued: their time is not their need


@dataclass
class Start:
    """One start of a job: a job that was put back into the queue has several. `rule` may be a group of rules."""

    number: str
    rule: str
    model: str
    state: str
    queue_seconds: float
    seconds: float
    cpu_seconds: float
    cores: int
    gpus: int
    asked_mb: float
    peak_mb: float


def ask_accounting(folder: Path, since: str, models: Iterable[str]) -> list[Start]:
    """Return the starts of the jobs that were submitted from a folder, the oldest first.

    Raises:
        UserError: the site keeps no accounting.
    """
    command = ["sacct", "--noheader", "--parsable2", "--duplicates", "--user", getpass.getuser()]
    text = output_of(*command, "--starttime", since, "--format", ",".join(SACCT_COLUMNS))
    logs = folder / SLURM_LOGS  # not every site stores comments, but these folders are named like them
    comments = {path.stem: "_wildcards_".join(path.relative_to(logs).parent.parts) for path in logs.rglob("*.log")}
    return read_accounting(text, str(folder), comments, models)


def read_accounting(text: str, folder: str, comments: Mapping[str, str], models: Iterable[str]) -> list[Start]:
    """Return the starts in what sacct prints; `comments` are those that sacct may lack, by the job's number."""
    names = sorted(models, key=len, reverse=True)  # the longest first: a name may begin another
    starts: list[Start] = []
    inside = False
    for row in rows_of(text, *(column.partition("%")[0] for column in SACCT_COLUMNS)):
        if "." not in row["JobID"]:
            inside = row["JobName"].startswith(JOB_NAME) and row["WorkDir"] == folder and row["Start"] != "Unknown"
            if inside:
                starts.append(_start(row, row["Comment"] or comments.get(row["JobID"], ""), names))
        elif inside:  # a step adds what was used to its job above
            starts[-1].peak_mb = max(starts[-1].peak_mb, _megabytes(row["MaxRSS"]))
            starts[-1].cpu_seconds = max(starts[-1].cpu_seconds, _seconds(row["TotalCPU"]))
    return starts


def _start(row: Mapping[str, str], comment: str, models: Iterable[str]) -> Start:
    """Return a start from the line of a job."""
    rule, _, wildcards = comment.removeprefix("rule_").partition("_wildcards_")
    tres = dict(entry.split("=", 1) for entry in row["AllocTRES"].split(",") if "=" in entry)
    gpus = tres.get("gres/gpu") or sum(int(count) for name, count in tres.items() if name.startswith("gres/gpu:"))
    # a job that was put back waits from the time on at which it was eligible again
    since = max(row["Submit"], row["Eligible"]) if row["Eligible"] != "Unknown" else row["Submit"]
    waited = datetime.fromisoformat(row["Start"]) - datetime.fromisoformat(since)
    return Start(
        number=row["JobID"],
        rule=rule or "unknown",
        model=next((name for name in models if f"{wildcards}_".startswith(f"{name}_")), ""),
        state=row["State"].split()[0],
        queue_seconds=max(0.0, waited.total_seconds()),
        seconds=float(row["ElapsedRaw"] or 0),
        cpu_seconds=_seconds(row["TotalCPU"]),
        cores=int(tres.get("cpu", 1)),
        gpus=int(gpus),
        asked_mb=_megabytes(tres.get("mem", "0")),
        peak_mb=_megabytes(row["MaxRSS"]),
    )


def _seconds(text: str) -> float:
    """Return a time of SLURM's in seconds, 0 where it is not known."""
    return 60.0 * (minutes_of(text) or 0.0)


def _megabytes(text: str) -> float:
    """Return a size of SLURM's (16000M, 1.5G, 12345K) in MB."""
    found = re.fullmatch(r"([\d.]+)([KMGT]?)[nc]?", text)
    return float(found.group(1)) * UNITS[found.group(2)] if found else 0.0


def table(starts: Iterable[Start]) -> str:
    """Return a line for each rule and model and one for all, as aligned columns."""
    grouped: dict[tuple[str, str], list[Start]] = {}
    for start in starts:
        grouped.setdefault((start.rule, start.model), []).append(start)
    rows = [_row(*key, some) for key, some in sorted(grouped.items())]
    return aligned_columns([COLUMNS, *rows, _row("all", "", [start for some in grouped.values() for start in some])])


def suggestions(starts: Iterable[Start], rules: Container[str]) -> list[str]:
    """Return values for --set-resources, one line a rule, from the largest need that was seen; groups have none."""
    by_rule: dict[str, list[Start]] = {}
    for start in starts:
        by_rule.setdefault(start.rule, []).append(start)
    lines = []
    for rule, some in sorted(by_rule.items()):
        seconds = [start.seconds for start in some if start.state == "COMPLETED"]
        peak = max(start.peak_mb for start in some)
        if not seconds or peak == 0 or rule not in rules:
            continue
        line = f"{rule}:mem_mb={_rounded(MEMORY_MARGIN * peak, 500)}"
        if rule not in SLICED:
            line += f" {rule}:runtime={_rounded(TIME_MARGIN * max(seconds) / 60, 5)}"
        lines.append(line)
    return lines


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
        _clock(median(start.queue_seconds for start in starts)),
        _clock(seconds),
        f"{sum(start.gpus * start.seconds for start in starts) / 3600:.2f}",
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
