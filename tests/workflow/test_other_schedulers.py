"""Profiles for PBS, LSF and Kubernetes, by stand-ins for their commands that run what they are given."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.configurations import CONFIG, ROOT

from .conftest import run_snakemake

POD = ROOT / "profiles" / "kubernetes" / "pod.py"
KUBECTL = """\
#!{python}
import json, pathlib, subprocess, sys
store = pathlib.Path({store!r})
command, rest = sys.argv[1], sys.argv[2:]
if command == "create":
    job = json.load(sys.stdin)
    name = job["metadata"]["generateName"] + str(len(list(store.iterdir())))
    pod = job["spec"]["template"]["spec"]["containers"][0]
    done = subprocess.run(pod["command"], cwd=pod["workingDir"], stdout=subprocess.DEVNULL)
    kind = "Failed" if done.returncode else "Complete"
    job["status"] = {{"conditions": [{{"type": kind, "status": "True"}}]}}
    (store / name).write_text(json.dumps(job))
    print("job.batch/" + name)
elif command == "get":
    print((store / rest[1]).read_text())
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the stand-in keeps the jobs that were submitted."""
    store, programs = tmp_path / "jobs", tmp_path / "bin"
    store.mkdir()
    programs.mkdir()
    kubectl = programs / "kubectl"
    kubectl.write_text(KUBECTL.format(python=sys.executable, store=str(store)), encoding="utf-8")
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("COMPACTBIO_IMAGE", "registry/compactbio:1")
    monkeypatch.setenv("COMPACTBIO_VOLUME", f"claim:{tmp_path}")
    return store


def submit(folder: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    options = {"rule": "pretrain_model", "cpus": "8", "memory-mb": "32000", "minutes": "90", "gpus": "2", "nodes": "1"}
    words = [word for name, value in (options | changed).items() for word in (f"--{name}", value)]
    return subprocess.run(
        [sys.executable, POD, "submit", *words, "script.sh"], cwd=folder, capture_output=True, text=True
    )


def test_a_pod_has_what_its_rule_asks_for(cluster: Path, tmp_path: Path) -> None:
    (tmp_path / "script.sh").write_text("exit 1\n")
    done = submit(tmp_path)
    assert done.returncode == 0, done.stderr
    job = json.loads((cluster / done.stdout.strip()).read_text())
    assert job["spec"]["activeDeadlineSeconds"] == 5400
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "8", "memory": "32000Mi"},
        "limits": {"memory": "32000Mi", "nvidia.com/gpu": "2"},
    }
    assert container["volumeMounts"][0]["mountPath"] == str(tmp_path)
    asked = subprocess.run([sys.executable, POD, "status", done.stdout.strip()], capture_output=True, text=True)
    assert asked.stdout.strip() == "failed"


@pytest.mark.parametrize(
    ("variable", "value", "option", "message"),
    [
        ("COMPACTBIO_VOLUME", "claim", {}, "give CLAIM:/where/it/is/mounted"),
        ("COMPACTBIO_VOLUME", "claim:/elsewhere", {}, "pods would not see it"),
        ("COMPACTBIO_IMAGE", "", {}, "COMPACTBIO_IMAGE must be set"),
        ("COMPACTBIO_IMAGE", "image", {"nodes": "2"}, "one pod is one node"),
    ],
)
def test_what_no_pod_can_run_is_refused_in_one_line(
    cluster: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    option: dict,
    message: str,
) -> None:
    monkeypatch.setenv(variable, value)
    done = submit(tmp_path, **option)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(cluster.iterdir())


TARGET = "results/demo/tasks/NCBI-disease/manifest.json"
SUBMIT = """\
#!/bin/sh
printf '%s\n' "$*" >> {calls!r}
for script; do :; done
sh "$script" > /dev/null 2>&1
echo 4711
"""


def run_one_job(folder: Path, miniature_folder: Path, profile: str) -> None:
    """Prepare a dataset of the miniature by a profile; fetching it needs the network and stays on this machine."""
    if not (folder / "profiles").exists():
        (folder / "profiles").symlink_to(ROOT / "profiles")
    shutil.copytree(miniature_folder / "results/demo/miniature", folder / "results/demo/miniature")
    options = ["--profile", profile, "--configfile", str(CONFIG / "demo.yaml"), "--latency-wait", "2"]
    done = run_snakemake(folder, *options, "--max-status-checks-per-second", "10", "--", TARGET)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / TARGET).is_file()


@pytest.mark.slow
def test_kubernetes_runs_a_job_as_a_pod(cluster: Path, tmp_path: Path, miniature_folder: Path) -> None:
    run_one_job(tmp_path, miniature_folder, "profiles/kubernetes")
    assert [job.name for job in cluster.iterdir()] == ["compactbio-prepare-task-0"]


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["PBS", "LSF"])
def test_a_submit_command_gets_what_a_rule_asks_for(
    tmp_path: Path, miniature_folder: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    profile = yaml.safe_load((ROOT / "profiles" / "generic" / "config.yaml").read_text(encoding="utf-8"))
    if scheduler == "LSF":  # what docs/clusters.md says to write instead
        page = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
        [block] = re.findall(r"```(?:yaml)?\n(cluster-generic-submit-cmd:.*?)```", page, re.DOTALL)
        profile |= yaml.safe_load(block)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "config.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    calls, program = tmp_path / "calls", tmp_path / "bin" / profile["cluster-generic-submit-cmd"].split()[0]
    program.parent.mkdir()
    program.write_text(SUBMIT.format(calls=str(calls)), encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    run_one_job(tmp_path, miniature_folder, "own")
    [call] = calls.read_text(encoding="utf-8").splitlines()
    wanted = {
        "PBS": "-V -l select=1:ncpus=1:mem=4000mb:ngpus=0 -l walltime=1200 ",
        "LSF": "-n 1 -M 4000MB -W 20 -R span[hosts=1] -o results/logs/lsf/%J.log ",
    }
    assert call.startswith(wanted[scheduler])
