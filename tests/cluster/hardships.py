"""What clusters do to trainings, done to them: time limits, preemption, dying nodes, cancelled jobs, a killed head."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import yaml
from helpers.configurations import read

from cluster.checkout import CONFIGURATION, RESULTS, Checkout
from cluster.slurm import OneMachineSlurm, jobs, output, wait_until

SECONDS = 65.0  # of training alone on a core; a limit of one minute cannot hold it
LIMITED, INTERRUPTED, HEADED, TWO_NODES = "Limited", "Interrupted", "Headed", "TwoNodes"


def write_models(checkout: Checkout) -> int:
    """Write the configuration of the trainings and return the steps that the long ones take.

    All have the same settings, so the same weights in the end; the steps follow from how fast this machine was.
    """
    lines = checkout.path("pretraining/DistilBioBERT/metrics.jsonl").read_text().splitlines()
    per_step = min(json.loads(line)["seconds_per_step"] for line in lines)
    steps = max(100, round(SECONDS / per_step))
    definition = read("demo.yaml")["models"]["DistilBioBERT"]
    long, short = (
        {**definition, "optimisation": {**definition["optimisation"], "steps": count, "warmup_steps": 5}}
        for count in (steps, 40)
    )
    models = {LIMITED: long, INTERRUPTED: long, HEADED: long, TWO_NODES: short}
    checkout.write("hardships.yaml", {"models": models})
    return steps


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
        lambda: step_of(checkout, model) > beyond and state_of(job) == "RUNNING", 120, f"{model} goes on in job {job}"
    )
    return step_of(checkout, model)


def state_of(job: str) -> str:
    """Return a job's state."""
    return next((one["JobState"] for one in jobs() if one["JobId"] == job), "")


def start_now(job: str) -> None:
    """Let a job that is put back into the queue start at once, when it has come there."""
    wait_until(lambda: state_of(job) == "PENDING", 60, f"job {job} is put back into the queue")
    hasten(job)


def hasten(job: str) -> None:
    """Let a job in the queue start at once, which SLURM makes wait two minutes there; it may have started already."""
    # its earlier start has to be over on its node too, or the order to end meets the new one
    wait_until(
        lambda: not output(["sinfo", "--noheader", "--Node", "--states=completing"]), 60, "the node is done with it"
    )
    time.sleep(2)
    output(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=False)


def last_job(model: str, *, after: str = "") -> str:
    """Wait for a model's next job and return its number."""
    found = []

    def there() -> bool:
        found[:] = [job["JobId"] for job in jobs_of(model) if job["JobId"] != after]
        return bool(found)

    wait_until(there, 120, f"a job of {model}")
    return max(found, key=int)


def start_uninterrupted(checkout: Checkout, model: str) -> subprocess.Popen[str]:
    """Start the training of a model without a cluster, from the inputs that its jobs have."""
    run, student = checkout.path("pretraining", model, "run.yaml"), checkout.path("students/initialised", model)
    wait_until(lambda: run.is_file() and (student / "manifest.json").is_file(), 120, f"the inputs of {model}")
    return checkout.start(
        *("scripts/pretrain_model.py", "--run", str(run), "--student", str(student)),
        *("--teacher", str(checkout.path("pretraining/BioBERT-v1.1/model"))),
        *("--tokens", str(checkout.path("corpus/tokens/cased/0001"))),
        *("--checkpoints", "uninterrupted", "--output", "uninterrupted/training.json"),
        log="uninterrupted.log",
    )


def preempt(checkout: Checkout, model: str, job: str) -> int:
    """Let a job of higher priority take a training's node; return the step that was kept when it went on."""
    wait_for_progress(checkout, model, job, 0)
    node = next(one["NodeList"] for one in jobs() if one["JobId"] == job)
    wanted = ["--partition=gpu", f"--nodelist={node}", "--gpus-per-node=4"]
    output(["sbatch", *wanted, "--output=/dev/null", "--wrap=true"])
    start_now(job)
    kept = step_of(checkout, model)
    wait_for_progress(checkout, model, job, kept)
    return kept


def let_node_die(checkout: Checkout, slurm: OneMachineSlurm, model: str, job: str) -> int:
    """Let a training's node die; return the step that was kept when it went on elsewhere."""
    slurm.kill_node(next(one["NodeList"] for one in jobs() if one["JobId"] == job))
    kept = step_of(checkout, model)
    start_now(job)
    wait_for_progress(checkout, model, job, kept)
    return kept


def start_head(checkout: Checkout, model: str) -> str:
    """Submit profiles/slurm/head.sbatch for a model's training, with a limit of two minutes; return its number."""
    # the profile as it is, but for the waits: the head runs plain snakemake
    environment = {**checkout.environment, "COMPACTBIO_POLL_SECONDS": "1"}
    done = subprocess.run(
        [
            *("sbatch", "--parsable", "--time=2", "--signal=B:USR1@60", "--exclude=cpu1"),
            "profiles/slurm/head.sbatch",
            *(*CONFIGURATION, "hardships.yaml", "--set-threads", "pretrain_model=1"),
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


def finish(job: str, seconds: float) -> None:
    """Wait until a job ends, starting it at once whenever it is put back into the queue."""
    end = time.monotonic() + seconds
    while state_of(job) in ("PENDING", "RUNNING", "COMPLETING") and time.monotonic() < end:
        if state_of(job) == "PENDING":
            hasten(job)  # not `start_now`: between two looks it may have left the queue for good
        time.sleep(0.5)


def restarts_of(job: str) -> int:
    """Return how often SLURM started a job again."""
    return next(int(one["Restarts"]) for one in jobs() if one["JobId"] == job)


def kept_weights(folder: Path) -> Path:
    """Return the newest checkpoint of the only run under a folder."""
    return sorted(folder.glob("*/step-*"))[-1]


def cancel(checkout: Checkout, model: str, job: str) -> tuple[int, str]:
    """Cancel a training's job as a user or an administrator may; return the step kept and the job that follows."""
    output(["scancel", job])
    wait_until(lambda: state_of(job) == "CANCELLED", 60, f"job {job} is cancelled")
    kept = step_of(checkout, model)
    return kept, last_job(model, after=job)


def two_nodes(checkout: Checkout) -> str:
    """Write profiles/slurm/multinode.yaml with this cluster's numbers, as a site does, and return its name."""
    content = yaml.safe_load((checkout.folder / "profiles/slurm/multinode.yaml").read_text())
    numbers = {"gpu": 2, "slurm_extra": "'--gpus-per-node=1'", "mem_mb": 32000}
    content["set-resources"]["pretrain_model"] |= numbers
    content["set-threads"]["pretrain_model"] = 2
    return checkout.write("two_nodes.yaml", content)
