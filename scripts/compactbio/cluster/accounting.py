"""What SLURM's accounting keeps of the workflow's jobs: every start of each, with what it asked for and used."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from compactbio.settings.results import SLURM_LOGS
from compactbio.slurm import minutes_of, output_of, rows_of

COLUMNS = {  # our name: sacct's
    **{"number": "JobID", "name": "JobName%80", "state": "State", "submitted": "Submit", "eligible": "Eligible"},
    **{"started": "Start", "elapsed": "ElapsedRaw", "cpu_time": "TotalCPU", "tres": "AllocTRES", "max_rss": "MaxRSS"},
    **{"folder": "WorkDir", "comment": "Comment"},
}
JOB_NAME = "compactbio_"  # slurm-jobname-prefix of profiles/slurm/config.yaml
UNITS = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "": 1 / 1024**2}


@dataclass(frozen=True)
class Start:
    """One start of a job: a job that was put back into the queue has several."""

    number: str
    state: str
    comment: str
    submitted: str
    started: str
    seconds: float
    cpu_seconds: float
    cores: int
    gpus: int
    asked_mb: float
    peak_mb: float


def ask_accounting(folder: Path, since: str) -> list[Start]:
    """Return the starts of the jobs that were submitted from a folder, the oldest first.

    Raises:
        UserError: the site keeps no accounting.
    """
    command = ["sacct", "--noheader", "--parsable2", "--duplicates", "--user", getpass.getuser()]
    text = output_of(*command, "--starttime", since, "--format", ",".join(COLUMNS.values()))
    return read_accounting(text, str(folder), rules_by_log(folder))


def rules_by_log(folder: Path) -> dict[str, str]:
    """Return the comments of jobs by number, from the names of their logs: not every site stores comments."""
    logs = folder / SLURM_LOGS
    return {path.stem: "_wildcards_".join(path.relative_to(logs).parent.parts) for path in logs.rglob("*.log")}


def read_accounting(text: str, folder: str, comments: Mapping[str, str]) -> list[Start]:
    """Return the starts in what sacct prints; lines of steps add what was used to the line of their job above."""
    starts: list[Start] = []
    inside = False
    for row in rows_of(text, *COLUMNS):
        if "." not in row["number"]:
            inside = row["name"].startswith(JOB_NAME) and row["folder"] == folder and row["started"] != "Unknown"
            if inside:
                starts.append(_start(row, comments))
        elif inside:
            last = starts[-1]
            peak, used = max(last.peak_mb, _megabytes(row["max_rss"])), max(last.cpu_seconds, _seconds(row["cpu_time"]))
            starts[-1] = replace(last, peak_mb=peak, cpu_seconds=used)
    return starts


def _start(row: Mapping[str, str], comments: Mapping[str, str]) -> Start:
    """Return a start from the line of a job."""
    tres = dict(entry.split("=", 1) for entry in row["tres"].split(",") if "=" in entry)
    gpus = tres.get("gres/gpu") or sum(int(count) for name, count in tres.items() if name.startswith("gres/gpu:"))
    return Start(
        number=row["number"],
        state=row["state"].split()[0],
        comment=row["comment"] or comments.get(row["number"], ""),
        # a job that was put back waits from then on
        submitted=max(row["submitted"], row["eligible"]) if row["eligible"] != "Unknown" else row["submitted"],
        started=row["started"],
        seconds=float(row["elapsed"] or 0),
        cpu_seconds=_seconds(row["cpu_time"]),
        cores=int(tres.get("cpu", 1)),
        gpus=int(gpus),
        asked_mb=_megabytes(tres.get("mem", "0")),
        peak_mb=_megabytes(row["max_rss"]),
    )


def _seconds(text: str) -> float:
    """Return a time of SLURM's in seconds, 0 where it is not known."""
    return 60.0 * (minutes_of(text) or 0.0)


def _megabytes(text: str) -> float:
    """Return a size of SLURM's (16000M, 1.5G, 12345K) in MB."""
    found = re.fullmatch(r"([\d.]+)([KMGT]?)[nc]?", text)
    return float(found.group(1)) * UNITS[found.group(2)] if found else 0.0


def by_rule_and_model(starts: Iterable[Start], models: Iterable[str]) -> dict[tuple[str, str], list[Start]]:
    """Return the starts by rule (or group) and model, the latter empty where a job is no model's."""
    names = sorted(models, key=len, reverse=True)  # the longest first: a name may begin another
    grouped: dict[tuple[str, str], list[Start]] = {}
    for start in starts:
        rule, _, wildcards = start.comment.removeprefix("rule_").partition("_wildcards_")
        model = next((name for name in names if wildcards == name or wildcards.startswith(f"{name}_")), "")
        grouped.setdefault((rule or "unknown", model), []).append(start)
    return grouped
