"""Check a cluster before days of work: one table, each line well or what to do. Part of it is a short job on a node.

    snakemake --profile profiles/slurm preflight

gives it what the configuration's rules ask for. The exit code is 1 where something is not as it has to be.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from compactbio.cluster import estimates, preflight
from compactbio.cluster.commands import output_of, slurm_is_here
from compactbio.cluster.demands import Demand, fitting, read_demands
from compactbio.cluster.partitions import Partition, ask_partitions
from compactbio.cluster.preflight import BAD, Check
from compactbio.cluster.site import ask_accounts
from compactbio.cluster.status import trained_models
from compactbio.errors import UserError
from compactbio.files import read_yaml
from compactbio.logs import run_program
from compactbio.reporting.selection import settings_of_files

ROOT = Path(__file__).resolve().parents[1]
SITE = Path("profiles/slurm/partitions.yaml")
MEASURED = Path("preflight", "training.tsv")  # in the results; remove it to measure anew


def parse_arguments() -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="as given to snakemake; default: none")
    parser.add_argument("--demands", type=json.loads, default={}, help="JSON: what the jobs of each rule ask for")
    parser.add_argument("--missing-downloads", type=int, nargs=2, metavar=("MISSING", "ALL"), help="default: not known")
    parser.add_argument("--probe-minutes", type=float, default=15, help="how long to wait for the short job; 0: none")
    return parser.parse_args()


def main() -> None:
    """Make all checks, print the table."""
    arguments = parse_arguments()
    config, demands = settings_of_files(arguments.configfile), read_demands(arguments.demands)
    trained = trained_models(config)
    results = Path(config["results_dir"])
    results.mkdir(parents=True, exist_ok=True)
    gpus = max((demand.gpus for demand in demands), default=0)
    checks = preflight.check_versions((ROOT / "envs" / "requirements.txt").read_text(encoding="utf-8"))
    checks += preflight.check_disk(estimates.stages(config, trained), results)
    if arguments.missing_downloads is not None:
        checks += preflight.check_downloads(*arguments.missing_downloads)
        if arguments.missing_downloads[0]:
            checks += preflight.check_network(urls_of(config))
    if not slurm_is_here():
        checks.append(Check("SLURM", BAD, "its commands are not here: start this where sbatch is"))
    else:
        checks += cluster_checks(demands, gpus, arguments.probe_minutes, results / MEASURED.parent)
    checks += hours_checks(config, trained, results / MEASURED)
    sys.stdout.write(preflight.table(checks, styled=sys.stdout.isatty()))
    sys.exit(any(check.verdict == BAD for check in checks))


def cluster_checks(demands: list[Demand], gpus: int, probe_minutes: float, measured: Path) -> list[Check]:
    """Return the checks that ask SLURM; with a GPU, training steps are measured into a folder."""
    try:
        partitions, configuration = ask_partitions(), output_of("scontrol", "show", "config")
    except UserError as error:
        return [Check("SLURM", BAD, str(error))]
    listed = list(read_yaml(SITE).get("partitions", {})) if SITE.is_file() else []
    usable = [partition for partition in partitions if partition.name in listed] if listed else partitions
    checks = preflight.check_account(ask_accounts(getpass.getuser()), os.environ.get("SBATCH_ACCOUNT"))
    checks += preflight.check_partition_file(SITE, listed, partitions, gpus > 0)
    checks += preflight.check_controller(configuration)
    checks += preflight.check_demands(demands, usable)
    if probe_minutes > 0:
        probe, why_not = run_probe(usable, gpus, probe_minutes)
        checks += preflight.check_probe(probe, why_not, gpus)
        if probe is not None and probe["gpus"] and not (measured / MEASURED.name).is_file():
            checks += measure(probe["partition"], measured)
    return checks


def urls_of(config: dict[str, Any]) -> list[str]:
    """Return where a configuration's downloads come from."""
    return ["https://huggingface.co", config["corpus"]["baseline"]["base_url"], *config["data_urls"].values()]


def in_job(partition: str, gpus: int, demand: Demand, *program: str) -> list[str]:
    """Return the command that runs a Python program in a job of its own and shows what it prints."""
    command = ["srun", "--quiet", "--job-name=compactbio-preflight", f"--partition={partition}", "--nodes=1"]
    command += ["--ntasks=1", f"--cpus-per-task={demand.threads}", f"--mem={demand.memory_mb}"]
    command += [f"--time={demand.minutes:.0f}", *([f"--gpus={gpus}"] if gpus else [])]
    return [*command, sys.executable, *program]


def run_probe(partitions: list[Partition], gpus: int, minutes: float) -> tuple[dict[str, Any] | None, str]:
    """Return what a short job found on a node, or why there is none."""
    asked = Demand("probe", minutes=10, memory_mb=4000, gpus=min(gpus, 1))
    names, why = fitting(asked, partitions)
    if not names:
        return None, why
    begin = time.monotonic()
    with tempfile.NamedTemporaryFile(dir=".", prefix=".preflight-") as seen:
        program = (str(ROOT / "scripts" / "probe_node.py"), str(Path(seen.name).resolve()))
        try:
            text = output_of(*in_job(names[0], asked.gpus, asked, *program), seconds=60 * minutes)
        except UserError as error:
            return None, str(error)
    return json.loads(text.splitlines()[-1]) | {"waited_seconds": time.monotonic() - begin}, ""


def measure(partition: str, folder: Path) -> list[Check]:
    """Time some steps of each objective in a job with a GPU, a few minutes, into a folder."""
    asked = Demand("measure", minutes=30, memory_mb=32000, threads=4)
    program = (str(ROOT / "scripts" / "benchmark_training.py"), "--precision", "fp32", "--dropout", "0.1")
    cases = "distil,compact,tiny,mlm_6l_768,mlm_4l_312,mlm_mobilebert"
    try:
        output_of(*in_job(partition, 1, asked, *program, "--cases", cases, "--output-dir", str(folder)), seconds=7200)
    except UserError as error:
        return [Check("measurement", BAD, str(error))]
    return []


def hours_checks(config: dict[str, Any], trained: list[str], path: Path) -> list[Check]:
    """Return the estimate of GPU-hours, where steps were measured."""
    if not trained:
        return []
    if not path.is_file():
        return [Check("GPU-hours", preflight.UNSURE, "not measured: the short job found no GPU")]
    steps = estimates.measured_steps(path)
    hours = estimates.gpu_hours(config, trained, steps)
    hardware = ", ".join(sorted({name for _, name in steps.values()}))
    text = f"pre-training {sum(hours.values()):.0f} on {hardware}, at the longest {max(hours.values(), default=0):.0f}"
    left = sorted(set(trained) - hours.keys())
    return [Check("GPU-hours", preflight.GOOD, text + (f"; not measured: {', '.join(left)}" if left else ""))]


if __name__ == "__main__":
    run_program(main)
