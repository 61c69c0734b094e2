"""Check a cluster before days of work: a table whose lines are ok or say what to do. A part is a short job on a node.

    snakemake --profile profiles/slurm preflight

gives it what the configuration's rules ask for. The exit code is 1 where a line is not ok.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from compactbio.cluster import preflight, storage, timings
from compactbio.cluster.partitions import Demand, Partition, ask_partitions, fitting, read_demands
from compactbio.cluster.preflight import BAD, UNSURE, Check
from compactbio.cluster.site import ask_accounts
from compactbio.errors import UserError
from compactbio.files import read_yaml
from compactbio.logs import run_program
from compactbio.settings.load import settings_of_files
from compactbio.settings.results import Results
from compactbio.settings.selection import definition_of, trained_models
from compactbio.slurm import output_of, slurm_is_here

ROOT = Path(__file__).resolve().parents[1]
SITE = Path("profiles/slurm/partitions.yaml")
TRAINING = "pretrain_model"


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
    training = next((demand for demand in demands if demand.rule == TRAINING), None)
    Path(config["results_dir"]).mkdir(parents=True, exist_ok=True)
    gpus = max((demand.gpus for demand in demands), default=0)
    checks = preflight.check_versions((ROOT / "envs" / "requirements.txt").read_text(encoding="utf-8"))
    checks += storage_checks(config)
    if arguments.missing_downloads is not None:
        checks += preflight.check_downloads(*arguments.missing_downloads)
        if arguments.missing_downloads[0]:
            checks += preflight.check_network(urls_of(config))
    if not slurm_is_here():
        checks.append(Check("SLURM", UNSURE, "its commands are not here: for its profile, start this where sbatch is"))
    else:
        checks += cluster_checks(demands, gpus, training, arguments, config)
    if training is not None:
        checks += hours_checks(config, training)
    sys.stdout.write(preflight.table(checks, styled=sys.stdout.isatty()))
    sys.exit(any(check.verdict == BAD for check in checks))


def storage_checks(config: dict[str, Any]) -> list[Check]:
    """Return the checks of disk, files and quotas, for each file system that is written to."""
    checks = []
    needs = map(storage.still_to_come, storage.stages(config, trained_models(config)))
    for folder, there in storage.by_file_system(needs).items():
        checks += preflight.check_room(there, storage.room_in(folder), folder)
        checks += preflight.check_quotas(*storage.ask_quotas(folder), there)
    return checks


def cluster_checks(
    demands: list[Demand], gpus: int, training: Demand | None, arguments: argparse.Namespace, config: dict[str, Any]
) -> list[Check]:
    """Return the checks that ask SLURM; steps of trainings that were not measured yet are measured in a job."""
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
    if arguments.probe_minutes > 0:
        probe, why_not = run_probe(usable, gpus, arguments.probe_minutes)
        checks += preflight.check_probe(probe, why_not, gpus)
        # without the GPUs that are asked for, steps of the paper's size would take hours
        if probe is not None and training is not None and (probe["gpus"] or not training.gpus):
            checks += measure(config, training, usable, arguments)
    return checks


def urls_of(config: dict[str, Any]) -> list[str]:
    """Return where a configuration's downloads come from."""
    sources = [definition_of(config, name)["source"] for name in (*config["run"]["models"], *config["checkpoints"])]
    hub = ["https://huggingface.co"] if "hub" in sources else []
    return [*hub, config["corpus"]["baseline"]["base_url"], *config["data_urls"].values()]


def in_job(partition: str, demand: Demand, *program: str) -> list[str]:
    """Return the command that runs a Python program in a job of its own on one node and shows what it prints."""
    command = ["srun", "--quiet", "--job-name=compactbio-preflight", f"--partition={partition}", "--nodes=1"]
    command += ["--ntasks=1", f"--cpus-per-task={demand.threads}", f"--mem={demand.memory_mb}"]
    command += [f"--time={demand.minutes:.0f}", *([f"--gpus={demand.gpus}"] if demand.gpus else [])]
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
            text = output_of(*in_job(names[0], asked, *program), seconds=60 * minutes)
        except UserError as error:
            return None, str(error)
    return json.loads(text.splitlines()[-1]) | {"waited_seconds": time.monotonic() - begin}, ""


def measure(
    config: dict[str, Any], training: Demand, partitions: list[Partition], arguments: argparse.Namespace
) -> list[Check]:
    """Time some steps of the trainings that were not timed yet, in a job with what one of them asks for on a node."""
    on_node = -(-training.gpus // training.nodes)
    asked = replace(training, minutes=min(training.minutes, 60.0), gpus=on_node, nodes=1)
    names, why = fitting(asked, partitions)
    if not names:
        return [Check("measurement", BAD, why)]
    program = (str(ROOT / "scripts" / "measure_training.py"), "--configfile", *map(str, arguments.configfile))
    checks = []
    for settings, path, half in measurements(config, on_gpu=training.gpus > 0):
        trained = trained_models(settings)
        models = [name for name in trained if name not in timings.read_timings(settings, trained, path)]
        if not models:
            continue
        options = ("--models", *models, "--gpus", str(on_node), "--output", str(path), *half)
        try:
            output_of(*in_job(names[0], asked, *program, *options), seconds=60 * (60 + arguments.probe_minutes))
        except UserError as error:
            checks.append(Check("measurement", BAD, str(error)))
    return checks


def hours_checks(config: dict[str, Any], training: Demand) -> list[Check]:
    """Return what the pre-trainings will take, as configured and in half precision, as far as steps were measured."""
    checks: list[Check] = []
    present: list[timings.Forecast] = []
    for settings, path, half in measurements(config, on_gpu=training.gpus > 0):
        trained = trained_models(settings)
        known = timings.read_timings(settings, trained, path)
        found = timings.forecasts(settings, known, gpus=training.gpus, minutes=training.minutes)
        missing = [name for name in trained if name not in known]
        wall = timings.wall_hours(settings, found)
        if not half:
            present = found
            checks += preflight.check_hours(found, missing, wall)
        elif trained:
            both = {one.model for one in found}
            now = [one.gpu_hours for one in present if one.model in both]
            checks += preflight.check_fast(found, missing, wall, sum(now) if len(now) == len(both) else 0.0)
    return checks


def measurements(config: dict[str, Any], *, on_gpu: bool) -> list[tuple[dict[str, Any], Path, tuple[str, ...]]]:
    """Return configurations to time, where their timings are kept, and the options of measure_training.py for them.

    The first is the present one, the second, on GPUs and where it is another, the same in half precision.
    """
    results = Results(Path(config["results_dir"]))
    half = timings.in_half_precision(config)
    chosen: list[tuple[dict[str, Any], Path, tuple[str, ...]]] = [(config, results.measured_trainings, ())]
    trained = trained_models(config)
    if on_gpu and any(timings.timed_settings(config, name) != timings.timed_settings(half, name) for name in trained):
        chosen.append((half, results.measured_in_half, ("--half-precision",)))
    return chosen


if __name__ == "__main__":
    run_program(main)
