"""The checks of a site before days of work: each line is ok or says what to do."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from compactbio.cluster.partitions import Demand, Partition, fitting
from compactbio.cluster.site import Accounts
from compactbio.cluster.storage import Need, Quota, Room
from compactbio.cluster.timings import Forecast, amount, time_in_words

GOOD, BAD, UNSURE = "ok", "NOT OK", "look"
PINNED = ("snakemake", "snakemake-executor-plugin-slurm", "torch", "transformers", "accelerate")
# of profiles/slurm/config.yaml: slurm-init-seconds-before-status-checks, retries
STATUS_SECONDS, RETRIES = 40, 50


@dataclass(frozen=True)
class Check:
    """A line of the table."""

    subject: str
    verdict: str
    text: str


def check_versions(requirements: str) -> list[Check]:
    """Compare what is installed with the pins."""
    pins = dict(line.split("==") for line in requirements.splitlines() if "==" in line)
    installed = {name: _version(name) for name in PINNED}
    others = ", ".join(
        f"{name} {found or 'missing'} (pinned: {pins[name]})"
        for name, found in installed.items()
        if found is None or found.split("+")[0] != pins[name]
    )
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    if None in installed.values():
        return [Check("versions", BAD, f"{others}: pip install -r envs/requirements.txt")]
    if others:
        return [Check("versions", UNSURE, f"{python}; not the pinned versions: {others}")]
    return [Check("versions", GOOD, f"{python}, {', '.join(f'{name} {found}' for name, found in installed.items())}")]


def check_account(accounts: Accounts, named: str | None) -> list[Check]:
    """Check that the account that jobs are charged to is one of the user's."""
    if accounts.unknown:
        return [Check("account", UNSURE, f"sacctmgr lists none; {named or 'none named'}; the short job below decides")]
    if named and named not in accounts.names:
        return [
            Check("account", BAD, f"{named} is not yours ({', '.join(accounts.names) or 'none is'}): edit site.env")
        ]
    if not named and not accounts.default:
        return [Check("account", BAD, f"export SBATCH_ACCOUNT in site.env: one of {', '.join(accounts.names)}")]
    return [Check("account", GOOD, named or f"{accounts.default} (your default)")]


def check_demands(demands: Iterable[Demand], partitions: Sequence[Partition]) -> list[Check]:
    """Check that a partition takes each rule's jobs."""
    checks = []
    for demand in demands:
        names, why = fitting(demand, partitions)
        asked = f"{demand.minutes:.0f} min, {demand.memory_mb} MB, {demand.threads} cores"
        asked += f", {demand.gpus} GPU on {demand.nodes} node(s)" if demand.gpus else ""
        if names:
            checks.append(Check(demand.rule, GOOD, f"{asked}: {', '.join(names)}"))
        else:
            advice = f"--set-resources {demand.rule}:runtime=, :mem_mb= or :gpu=, --set-threads {demand.rule}="
            checks.append(Check(demand.rule, BAD, f"{asked}: fits nowhere ({why}); lower it with {advice}"))
    return checks


def check_partition_file(path: Path, listed: Iterable[str], partitions: Sequence[Partition], gpus: bool) -> list[Check]:
    """Check that there is a choice of partitions where one is needed, and that it names existing ones."""
    known = {partition.name for partition in partitions}
    if not path.is_file():
        default = next((partition for partition in partitions if partition.default), None)
        if default is None or (gpus and not default.gpus):
            return [Check("partitions", BAD, "jobs with GPU would go to a partition without: run `make site`")]
        return [Check("partitions", UNSURE, f"all jobs go to {default.name}; `make site` writes {path}")]
    unknown = sorted(set(listed) - known)
    if unknown:
        return [Check("partitions", BAD, f"{path} names {', '.join(unknown)}; there are {', '.join(sorted(known))}")]
    return [Check("partitions", GOOD, f"{path}: {', '.join(listed)}")]


def check_controller(configuration: str) -> list[Check]:
    """Check in `scontrol show config` how long ended jobs are known, and whether jobs are put back into the queue."""
    facts = {
        key.strip(): value.strip() for key, _, value in (line.partition("=") for line in configuration.split("\n"))
    }
    age = int(facts.get("MinJobAge", "0").split()[0])
    checks = [Check("job states", GOOD, f"squeue knows ended jobs for {age} s")]
    if age < 3 * STATUS_SECONDS:
        most = max(1, age // 3)
        text = f"squeue forgets ended jobs after {age} s: add --slurm-init-seconds-before-status-checks {most}"
        checks = [Check("job states", BAD, text)]
    if facts.get("JobRequeue") == "1":
        return checks
    return [*checks, Check("requeue", UNSURE, "the site puts no jobs back by itself; the profile asks with --requeue")]


def check_room(needs: Sequence[Need], room: Room, folder: Path) -> list[Check]:
    """Check what a file system has left against what is still to come on it."""
    size, files = sum(need.bytes for need in needs), sum(need.files for need in needs)
    largest = sorted((need for need in needs if need.bytes > max(0.05 * size, 5e7)), key=lambda need: -need.bytes)
    parts = ", ".join(f"{need.stage} {_gigabytes(need.bytes)}" for need in largest)
    text = f"{_gigabytes(room.bytes)} GB free in {folder}, about {_gigabytes(size)} still needed ({parts})"
    enough = room.bytes > size
    checks = [Check("disk", GOOD if enough else BAD, text if enough else f"{text}: free space, or another results_dir")]
    if room.files is None:
        return [*checks, Check("files", GOOD, f"about {files} still needed in {folder}, whose file system counts none")]
    parts = ", ".join(f"{need.stage} {need.files}" for need in needs if need.files > 0.05 * files)
    text = f"{room.files} more may be made in {folder}, about {files} still needed ({parts})"
    return [*checks, Check("files", GOOD if room.files > files else BAD, text)]


def check_quotas(quotas: Sequence[Quota], unknown: str, needs: Sequence[Need]) -> list[Check]:
    """Check what quotas leave against what is still to come."""
    size, files = sum(need.bytes for need in needs), sum(need.files for need in needs)
    wanted = f"about {_gigabytes(size)} GB and {files} files still needed"
    if not quotas:
        return [Check("quota", UNSURE, f"not known: {unknown}; {wanted}: ask your site")]
    checks = []
    for quota in quotas:
        space = "no limit of space" if quota.bytes_left is None else f"{_gigabytes(quota.bytes_left)} GB left"
        count = "no limit of files" if quota.files_left is None else f"{quota.files_left} files left"
        limits = ((quota.bytes_left, size), (quota.files_left, files))
        short = any(left is not None and left < need for left, need in limits)
        text = f"{quota.holder} on {quota.file_system}: {space}, {count}; {wanted}"
        checks.append(Check("quota", BAD if short else GOOD, f"{text}: ask for more" if short else text))
    return checks


def check_hours(found: Sequence[Forecast], missing: Sequence[str], wall_hours: float) -> list[Check]:
    """Return what the pre-trainings will take, each and together; more submissions than retries are a fault."""
    checks = []
    for one in found:
        where = f"{one.gpus} GPU{'s' if one.gpus > 1 else ''}" if one.gpus else "no GPU"
        text = f"{time_in_words(one.hours)} on {where}, {one.steps:,} steps of {one.seconds_per_step:.3g} s, "
        text += f"peak {one.peak_memory_mb:,.0f} MB, {one.submissions} submission{'s' if one.submissions > 1 else ''}"
        if one.submissions > RETRIES:
            text += ": more GPUs (--set-resources pretrain_model:gpu=), a longer runtime, or more --retries"
        checks.append(Check(f"hours {one.model}", BAD if one.submissions > RETRIES else GOOD, text))
    if found:
        total = sum(one.gpu_hours for one in found)
        hardware = "; ".join(sorted({one.hardware for one in found}))
        text = f"{amount(total)} GPU-hours of pre-training, " if total else ""
        text += f"ready after {time_in_words(wall_hours)} if none waits in the queue; measured on {hardware}"
        checks.append(Check("hours", GOOD, text))
    if missing:
        checks.append(Check("hours", UNSURE, f"not measured: {', '.join(missing)}"))
    return checks


def check_fast(found: Sequence[Forecast], missing: Sequence[str], wall_hours: float, present: float) -> list[Check]:
    """Return what the same pre-trainings would take in half precision.

    Args:
        found, missing, wall_hours: as for `check_hours`, in half precision.
        present: GPU-hours as configured of what was measured both ways; 0 where nothing was.
    """
    if not found:
        text = "config/fast.yaml, the same in half precision: not measured; estimates: docs/resources.md"
        return [Check("hours if fast", UNSURE, text)]
    total = sum(one.gpu_hours for one in found)
    text = f"{amount(total)} GPU-hours of pre-training by config/fast.yaml, in half precision"
    text += f" (as configured: {amount(present)})" if present and not missing else ""
    text += (
        f", ready after {time_in_words(wall_hours)}; measured on {'; '.join(sorted({one.hardware for one in found}))}"
    )
    text += f"; not measured: {', '.join(missing)}" if missing else ""
    return [Check("hours if fast", UNSURE if missing else GOOD, text)]


def check_downloads(missing: int, total: int) -> list[Check]:
    """Check that what compute nodes cannot fetch is there."""
    if not missing:
        return [Check("downloads", GOOD, f"all {total} are there")]
    text = f"{missing} of {total} missing: snakemake downloads --profile profiles/slurm"
    return [Check("downloads", UNSURE, text)]


def check_network(urls: Iterable[str], seconds: float = 5.0) -> list[Check]:
    """Check that the hosts of what is still to be fetched can be reached from this machine."""
    hosts = sorted({urlsplit(url).hostname or "" for url in urls if url.startswith("http")} - {""})
    closed = [host for host in hosts if not _is_open(host, seconds)]
    if closed:
        text = f"{', '.join(closed)} cannot be reached: run `downloads` on a machine with network, or set a proxy"
        return [Check("network", BAD, text)]
    return [Check("network", GOOD, f"reached: {', '.join(hosts) or 'nothing to reach'}")]


def check_probe(probe: dict[str, Any] | None, why_not: str, gpus: int) -> list[Check]:
    """Check what a short job found on a compute node."""
    if probe is None:
        return [Check("short job", BAD, why_not)]
    where = f"{probe['host']} in {probe['partition']}, waited {probe['waited_seconds']:.0f} s"
    checks = [Check("short job", GOOD, where)]
    if not probe["sees_folder"]:
        checks.append(Check("folder", BAD, "the node does not see this folder: work on a shared file system"))
    if not gpus:
        return checks
    if probe["gpus"]:
        checks.append(Check("GPU", GOOD, ", ".join(probe["gpus"])))
        without = probe["without_kernels"]
        text = f"not used, trainings are slower: {without}" if without else "a kernel was built there, and is right"
        checks.append(Check("Triton", UNSURE if without else GOOD, text))
    else:
        text = f"torch sees none (CUDA_VISIBLE_DEVICES={probe['visible'] or 'not set'}): does the torch wheel fit the "
        checks.append(Check("GPU", BAD, text + "driver? nvidia-smi in a job prints the driver's version"))
    return checks


def table(checks: Sequence[Check], *, styled: bool) -> str:
    """Return the checks as lines, coloured on a terminal."""
    width = max(len(check.subject) for check in checks)
    colours = {GOOD: "\033[32m", BAD: "\033[31m", UNSURE: "\033[33m"}
    lines = []
    for check in checks:
        verdict = check.verdict.ljust(6)
        verdict = f"{colours[check.verdict]}{verdict}\033[0m" if styled else verdict
        lines.append(f"{check.subject.ljust(width)}  {verdict}  {check.text}\n")
    return "".join(lines)


def _gigabytes(size: float) -> str:
    """Return bytes in GB, with a digit after the point where they are few."""
    return f"{size / 1e9:.0f}" if size >= 10e9 else f"{size / 1e9:.1f}"


def _version(name: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _is_open(host: str, seconds: float) -> bool:
    """Return whether a host takes connections for https, by way of the proxy where one is set."""
    proxy = os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")
    target = urlsplit(proxy) if proxy else None
    address = (target.hostname or "", target.port or 3128) if target else (host, 443)
    try:
        with socket.create_connection(address, timeout=seconds):
            return True
    except OSError:
        return False
