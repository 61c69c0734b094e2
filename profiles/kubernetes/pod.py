"""Submit a Snakemake job to Kubernetes as one pod, ask for its state, or cancel it; kubectl does the talking.

Snakemake calls this program by the profile beside it. A job's files lie on a volume that is mounted in the pod where it
is mounted here. COMPACTBIO_IMAGE names the image, COMPACTBIO_VOLUME the claim and the place of the volume.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS_TO_SAVE = 120  # between SIGTERM and SIGKILL when a pod is evicted: a training saves and leaves


def manifest(arguments: argparse.Namespace, image: str, volume: str, folder: Path) -> dict[str, Any]:
    """Return the Kubernetes job that runs a job script of Snakemake in `folder`.

    Args:
        arguments: of the subcommand `submit`.
        image: name of the container image.
        volume: name of a claim and where it is mounted, with a colon between.
        folder: working directory, on the volume.

    Raises:
        ValueError: the volume is not given so, or does not hold the folder; more than one node.
    """
    claim, _, place = volume.partition(":")
    if not claim or not place.startswith("/"):
        raise ValueError(f"COMPACTBIO_VOLUME is {volume!r}: give CLAIM:/where/it/is/mounted")
    if not folder.is_relative_to(place):
        raise ValueError(f"{folder} is not below {place}, where COMPACTBIO_VOLUME is mounted: pods would not see it")
    if arguments.nodes != 1:
        raise ValueError(f"{arguments.rule}: one pod is one node; set nodes=1")
    wanted = {"cpu": str(arguments.cpus), "memory": f"{arguments.memory_mb}Mi"}
    limits = {"memory": wanted["memory"]} | ({"nvidia.com/gpu": str(arguments.gpus)} if arguments.gpus else {})
    container = {
        "name": "job",
        "image": image,
        "command": ["bash", arguments.script],
        "workingDir": str(folder),
        "resources": {"requests": wanted, "limits": limits},
        "volumeMounts": [{"name": "files", "mountPath": place}, {"name": "shared-memory", "mountPath": "/dev/shm"}],
    }
    pod = {
        "restartPolicy": "Never",  # Snakemake tries again, and counts
        "terminationGracePeriodSeconds": SECONDS_TO_SAVE,
        "containers": [container],
        "volumes": [
            {"name": "files", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": f"compactbio-{arguments.rule.replace('_', '-').lower()}-"},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 60 * arguments.minutes,
            "ttlSecondsAfterFinished": 86_400,
            "template": {"spec": pod},
        },
    }


def state(job: dict[str, Any]) -> str:
    """Return what Snakemake calls the state of a Kubernetes job: running, success or failed."""
    conditions = {entry["type"] for entry in job.get("status", {}).get("conditions", []) if entry["status"] == "True"}
    if "Complete" in conditions:
        return "success"
    return "failed" if "Failed" in conditions else "running"


def kubectl(*arguments: str, given: str = "") -> str:
    """Return what kubectl prints."""
    return subprocess.run(["kubectl", *arguments], input=given, check=True, text=True, stdout=subprocess.PIPE).stdout


def main() -> str:
    """Read the command line and return what Snakemake wants printed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    submit = commands.add_parser("submit", help="print the name of the new job")
    submit.add_argument("--rule", required=True)
    for name in ("cpus", "memory-mb", "minutes", "gpus", "nodes"):
        submit.add_argument(f"--{name}", type=int, required=True)
    submit.add_argument("script", help="the job script, which Snakemake appends")
    for name in ("status", "cancel"):
        commands.add_parser(name).add_argument("jobs", nargs="+")
    arguments = parser.parse_args()
    if arguments.command == "status":
        return state(json.loads(kubectl("get", "job", arguments.jobs[0], "--output", "json")))
    if arguments.command == "cancel":
        return kubectl("delete", "job", "--wait=false", "--ignore-not-found", *arguments.jobs)
    missing = [name for name in ("COMPACTBIO_IMAGE", "COMPACTBIO_VOLUME") if not os.environ.get(name)]
    if missing:
        raise ValueError(f"{' and '.join(missing)} must be set: profiles/kubernetes/config.yaml says to what")
    made = manifest(arguments, os.environ["COMPACTBIO_IMAGE"], os.environ["COMPACTBIO_VOLUME"], Path.cwd())
    return kubectl("create", "--filename", "-", "--output", "name", given=json.dumps(made)).removeprefix("job.batch/")


if __name__ == "__main__":
    try:
        print(main().strip())
    except (ValueError, OSError, subprocess.CalledProcessError) as fault:
        sys.exit(f"pod.py: {fault}")
