"""What clusters do to trainings, done to them: time limits, preemption, dying nodes, cancelled jobs, a killed head."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import yaml
from helpers.configurations import read

from cluster.asking import job_of, jobs, output, seconds_of, state_of, wait_until
from cluster.checkout import CONFIGURATION, RESULTS, Checkout
from cluster.slurm import OneMachineSlurm

PATIENCE = 300.0  # seconds for anything that takes a few on a machine with nothing else to do
HEAD_MINUTES = 60
# not NODE_FAIL, from which a job goes back to the queue
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"}
LIMITED, INTERRUPTED, HEADED, TWO_NODES = "Limited", "Interrupted", "Headed", "TwoNodes"


def short_limit() -> int:
    """Return a time limit in minutes in which a training is begun, on a machine as busy as this was, and not ended."""
    [short] = jobs_of("DistilBioBERT")
    return 1 + seconds_of(short) // 40


def write_models(checkout: Checkout) -> int:
    """Write the configuration of the trainings and return the time limit, in minutes, that the long ones exceed.

    All have the same settings, so the same weights in the end; the steps follow from how fast this machine was.
    """
    minutes = short_limit()
    lines = checkout.path("pretraining/DistilBioBERT/metrics.jsonl").read_text().splitlines()
    per_step = min(json.loads(line)["seconds_per_step"] for line in lines)
    steps = max(100, round((60 * minutes + 5) / per_step))  # seconds of training alone on a core
    definition = read("demo.yaml")["models"]["DistilBioBERT"]
    long, short = (
        {**definition, "optimisation": {**definition["optimisation"], "steps": count, "warmup_steps": 5}}
        for count in (steps, 40)
    )
    models = {LIMITED: long, INTERRUPTED: long, HEADED: long, TWO_NODES: short}
    checkout.write("hardships.yaml", {"models": models})
    return minutes


def target(model: str) -> str:
    """Return what is asked for of a model: that its training is finished."""
    return f"{RESULTS}/pretraining/{model}/training.json"


def jobs_of(model: str, name: str = "pretrain_model") -> list[dict[str, str]]:
    """Return the jobs of a model's training in the order of their numbers."""
    return [job for job in jobs() if job.get("Comment") == f"rule_{name}_wildcards_{model}"]


def step_of(checkout: Checkout, model: str) -> int:
    """Return the newest step of a model that is kept."""
    folders = checkout.path("checkpoints/pretraining", model).glob("*/step-*")
    return max((int(path.name.removeprefix("step-")) for path in folders), default=0)


def wait_for_progress(checkout: Checkout, model: str, job: str, beyond: int) -> int:
    """Wait until a job runs and has kept a step after `beyond`; return that step."""
    wait_until(
        lambda: step_of(checkout, model) > beyond and state_of(job) == "RUNNING",
        PATIENCE,
        f"{model} goes on in job {job}",
    )
    return step_of(checkout, model)


def wait_for_restart(job: str, restarts: int) -> None:
    """Wait until SLURM has started a job again so often, hastening it in the queue.

    The count is what is looked at, since it only grows: a state may come and go between two looks.
    """

    def started() -> bool:
        facts = job_of(job)
        if facts["JobState"] == "PENDING":
            hasten(job)
        return int(facts["Restarts"]) >= restarts and facts["JobState"] not in ("PENDING", "COMPLETING")

    wait_until(started, PATIENCE, f"job {job} is started again")


def hasten(job: str) -> None:
    """Let a job in the queue start at once, which SLURM makes wait two minutes there; it may have started already."""
    # its earlier start should be over on its node too, or the order to end meets the new one
    command = ["sinfo", "--noheader", "--Node", "--states=completing"]
    wait_until(lambda: not output(command, check=False), 30, "no node is ending a job", fail=False)
    time.sleep(2)
    output(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=False)


def last_job(model: str, *, after: str = "") -> str:
    """Wait for a model's next job and return its number."""
    found = []

    def there() -> bool:
        found[:] = [job["JobId"] for job in jobs_of(model) if job["JobId"] != after]
        return bool(found)

    wait_until(there, PATIENCE, f"a job of {model}")
    return max(found, key=int)


def training_command(checkout: Checkout, model: str, checkpoints: str, output_name: str) -> list[str]:
    """Return the command of a model's training with the inputs that its jobs have, as soon as these are there."""
    run, student = checkout.path("pretraining", model, "run.yaml"), checkout.path("students/initialised", model)
    wait_until(lambda: run.is_file() and (student / "manifest.json").is_file(), PATIENCE, f"the inputs of {model}")
    return [
        *("scripts/pretrain_model.py", "--run", str(run), "--student", str(student)),
        *("--teacher", str(checkout.path("pretraining/BioBERT-v1.1/model"))),
        *("--tokens", str(checkout.path("corpus/tokens/cased/0001"))),
        *("--checkpoints", checkpoints, "--output", output_name),
    ]


def start_uninterrupted(checkout: Checkout, model: str) -> subprocess.Popen[str]:
    """Start the training of a model without a cluster."""
    command = training_command(checkout, model, "uninterrupted", "uninterrupted/training.json")
    return checkout.start(*command, log="uninterrupted.log")


def train_a_second_time(checkout: Checkout, model: str) -> tuple[int, str]:
    """Train a model in a second job while the first one does; return its exit code and what it said."""
    checkpoints = str(checkout.path("checkpoints/pretraining", model))
    command = shlex.join([sys.executable, *training_command(checkout, model, checkpoints, "second.json")])
    done = subprocess.run(
        ["sbatch", "--wait", "--partition=cpu", "--output=second.log", f"--wrap={command}"],
        cwd=checkout.folder,
        env=checkout.environment,
        capture_output=True,
        timeout=PATIENCE,
    )
    return done.returncode, checkout.log("second.log")


def holder_of(checkout: Checkout, model: str) -> str:
    """Return who holds the lock of a model's training, as it says there."""
    [lock] = checkout.path("checkpoints/pretraining", model).glob("*/lock")
    return lock.read_text().strip()


def preempt(checkout: Checkout, model: str, job: str) -> int:
    """Let a job of higher priority take a training's node; return the step that was kept when it went on."""
    wait_for_progress(checkout, model, job, 0)
    wanted = ["--partition=gpu", f"--nodelist={job_of(job)['NodeList']}", "--gpus-per-node=4"]
    output(["sbatch", *wanted, "--output=/dev/null", "--wrap=true"])
    wait_for_restart(job, 1)
    kept = step_of(checkout, model)
    wait_for_progress(checkout, model, job, kept)
    return kept


def let_node_die(checkout: Checkout, slurm: OneMachineSlurm, model: str, job: str) -> int:
    """Let a training's node die; return the step that was kept when it went on elsewhere."""
    slurm.kill_node(job_of(job)["NodeList"])
    kept = step_of(checkout, model)
    wait_for_restart(job, 2)
    wait_for_progress(checkout, model, job, kept)
    return kept


def start_head(checkout: Checkout, model: str) -> str:
    """Submit profiles/slurm/head.sbatch for a model's training; return its number."""
    # the profile as it is, but for the waits: the head runs plain snakemake
    environment = {**checkout.environment, "COMPACTBIO_POLL_SECONDS": "1"}
    # away from the nodes on which another training is preempted and one dies
    place = checkout.write("headed.yaml", {"set-resources": {"pretrain_model": {"slurm_extra": "'--nodelist=gpu1'"}}})
    done = subprocess.run(
        [
            *("sbatch", "--parsable", f"--time={HEAD_MINUTES}", "--signal=B:USR1@150", "--exclude=cpu1"),
            "profiles/slurm/head.sbatch",
            *(*CONFIGURATION, "hardships.yaml", "--profile", place, "--set-threads", "pretrain_model=1"),
            *("--slurm-init-seconds-before-status-checks", "1", "--max-status-checks-per-second", "10"),
            *("--", target(model)),
        ],
        cwd=checkout.folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def end_at_limit(job: str) -> None:
    """Bring a job's time limit so near that SLURM sends the signal asked for before it; let it have time again."""
    output(["scontrol", "update", f"JobId={job}", f"TimeLimit={seconds_of(job_of(job)) // 60 + 3}"])
    wait_for_restart(job, 1)
    output(["scontrol", "update", f"JobId={job}", f"TimeLimit={HEAD_MINUTES}"])


def finish(job: str, seconds: float) -> None:
    """Wait until a job ends, starting it at once whenever it is put back into the queue."""
    end = time.monotonic() + seconds
    while state_of(job) not in ENDED and time.monotonic() < end:
        if state_of(job) == "PENDING":
            hasten(job)
        time.sleep(0.5)


def kept_weights(folder: Path) -> Path:
    """Return the newest checkpoint of the only run under a folder."""
    return sorted(folder.glob("*/step-*"))[-1]


def cancel(checkout: Checkout, model: str, job: str) -> tuple[int, str]:
    """Cancel a training's job as a user or an administrator may; return the step kept and the job that follows."""
    output(["scancel", job])
    wait_until(lambda: state_of(job) == "CANCELLED", PATIENCE, f"job {job} is cancelled")
    kept = step_of(checkout, model)
    return kept, last_job(model, after=job)


def two_nodes(checkout: Checkout) -> str:
    """Write profiles/slurm/multinode.yaml with this cluster's numbers, as a site does, and return its name."""
    content = yaml.safe_load((checkout.folder / "profiles/slurm/multinode.yaml").read_text())
    numbers = {"gpu": 2, "slurm_extra": "'--gpus-per-node=1'", "mem_mb": 32000}
    content["set-resources"]["pretrain_model"] |= numbers
    content["set-threads"]["pretrain_model"] = 2
    return checkout.write("two_nodes.yaml", content)
