"""A real SLURM on this one machine, for tests: controller, six nodes with pretended GPUs, no network beyond them.

Everything lies in one folder, but for links in /etc/slurm: a job step's srun finds its configuration nowhere else. The
nodes' daemons run in a network namespace of their own that knows the controller and nothing else, as compute nodes
behind a login node do. Root is needed for it, Debian's packages slurm-wlm and munge, and iproute2.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from cluster.asking import is_allowed, output, wait_until
from cluster.processes import is_gone, kill, status_of, text_of

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "ip", "nsenter")
LINKS, LINKED = Path("/etc/slurm"), ("slurm.conf", "gres.conf", "cgroup.conf")
OWNER = "owner.pid"  # the process that started a cluster and is to stop it
NAMESPACE = "compactbio"
ADDRESSES = ("10.213.77.1", "10.213.77.2")  # of the controller, and of all nodes
NODES = {"cpu1": None, "cpu2": None, "cpu3": None, "gpu1": "a100", "gpu2": "v100", "gpu3": "v100"}  # kind of GPU
GPUS_PER_NODE = 4
PORT = 16817

CONFIGURATION = """\
ClusterName=onemachine
SlurmctldHost={host}({controller})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/record_task.sh
MpiDefault=none
ReturnToService=2
EnforcePartLimits=ALL
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1,defer_batch
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=15
CompleteWait=0
JobRequeue=1
MinJobAge=3600
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobs
"""
PARTITIONS = """\
PartitionName=cpu Nodes=cpu[1-3] Default=YES MaxTime=1-00:00:00 DefMemPerCPU=500 PriorityTier=10 PreemptMode=OFF
PartitionName=gpu Nodes=gpu[1-3] MaxTime=2-00:00:00 DefMemPerCPU=500 PriorityTier=10 PreemptMode=OFF
PartitionName=preemptible Nodes=gpu[1-3] MaxTime=2-00:00:00 DefMemPerCPU=500 PriorityTier=1 PreemptMode=REQUEUE
"""
# What a task of a job finds around it: job, step, node, GPUs, and whether it has a way out of the cluster.
RECORD_TASK = """\
#!/bin/sh
way_out=none
grep -q '^[^[:space:]]*[[:space:]]00000000' /proc/net/route && way_out=default
echo "$SLURM_JOB_ID ${{SLURM_STEP_ID:-batch}} $SLURMD_NODENAME gpus=$CUDA_VISIBLE_DEVICES way_out=$way_out" \\
  >> {folder}/log/tasks
"""


def reason_to_skip() -> str:
    """Return why no SLURM can be started here, empty where one can."""
    if os.getuid() != 0:
        return "a one-machine SLURM needs root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian packages slurm-wlm, munge and iproute2)"
    stop_left_over()
    if LINKS.joinpath("slurm.conf").exists():
        return f"{LINKS}/slurm.conf is there: this machine has a SLURM of its own, or another test has one running"
    with tempfile.TemporaryDirectory() as folder:
        if not is_allowed("mknod", f"{folder}/device", "c", "1", "3"):
            return "devices may not be made here, which pretended GPUs need"
    return ""


def stop_left_over() -> None:
    """Stop the cluster of a test that was killed: links and daemons outlive it."""
    link = LINKS / "slurm.conf"
    folder = link.readlink().parent if link.is_symlink() else None
    owner = None if folder is None else folder / OWNER
    if owner is not None and owner.is_file() and is_gone(int(owner.read_text())):
        OneMachineSlurm(folder).stop()


@dataclass
class OneMachineSlurm:
    """The cluster; `start` it, and `stop` it whatever happened."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")))
    isolated: bool = field(default_factory=lambda: is_allowed("unshare", "--net", "true"))
    """Whether the nodes have a network of their own; containers often may not make one."""

    def start(self) -> None:
        """Write the configuration and start munge, the controller and the nodes."""
        self._write_configuration()
        self._make_network()
        self.start_munge()
        self._run("slurmctld")
        wait_until(self._answers, 30, "the controller answers")
        for node in NODES:
            self.start_node(node)
        wait_until(lambda: self._ready_nodes() == len(NODES), 60, "the nodes are ready")

    def start_munge(self) -> None:
        """Start the daemon that all others know each other by."""
        key = self.folder / "munge.key"
        if not key.exists():
            key.write_bytes(secrets.token_bytes(1024))
            key.chmod(0o400)
        files = {"socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log", "seed-file": "munge.seed"}
        named = [f"--{option}={self.folder / name}" for option, name in files.items()]
        self._run("munged", "--force", f"--key-file={key}", *named)

    def start_node(self, name: str) -> None:
        """Start a node's daemon in the nodes' network."""
        (self.folder / "spool" / name).mkdir(parents=True, exist_ok=True)
        inside = ["nsenter", f"--net=/run/netns/{NAMESPACE}"] if self.isolated else []
        self._run(*inside, "slurmd", "-N", name)

    def kill_node(self, name: str) -> None:
        """Let a node die for good: its daemon and whatever it was running, without a word to anyone."""
        kill(int((self.folder / f"slurmd.{name}.pid").read_text()), signal.SIGKILL)
        self._kill_jobs(name)
        output(["scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=dead"])

    def stop(self) -> None:
        """End all jobs and daemons and remove what was made."""
        if self._answers():
            output(["scancel", "--user", "root"], check=False)
            wait_until(lambda: not output(["squeue", "--noheader"], check=False), 30, "the jobs end", fail=False)
        for name in ("slurmctld", *(f"slurmd.{node}" for node in NODES), "munge"):
            self.stop_daemon(self.folder / f"{name}.pid")
        for node in NODES:
            self._kill_jobs(node)
        output(["ip", "netns", "del", NAMESPACE], check=False)
        for file in LINKED:
            (LINKS / file).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop_daemon(self, pid_file: Path) -> None:
        """End a daemon by its own file, and wait for it."""
        if pid_file.exists() and (text := pid_file.read_text().strip()).isdigit():
            kill(int(text), signal.SIGTERM)
            if not wait_until(lambda: is_gone(int(text)), 20, pid_file.name, fail=False):
                kill(int(text), signal.SIGKILL)

    def tasks(self) -> list[dict[str, str]]:
        """Return what each task of a job found around it: job, step, node, gpus, way_out."""
        path = self.folder / "log" / "tasks"
        rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        named = ("job", "step", "node")
        return [dict(zip(named, row[:3], strict=True)) | dict(entry.split("=", 1) for entry in row[3:]) for row in rows]

    def _write_configuration(self) -> None:
        """Write slurm.conf and its companions, with links where the commands look for them."""
        self.folder.chmod(0o755)
        for name in ("log", "state", "spool", "dev"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        host = socket.gethostname().split(".")[0]
        controller, address = ADDRESSES if self.isolated else ("127.0.0.1", "127.0.0.1")
        values = {"folder": self.folder, "host": host, "controller": controller, "port": PORT}
        nodes = "".join(
            f"NodeName={name} NodeHostname={host} NodeAddr={address} Port={PORT + number} CPUs=16 "
            f"RealMemory=64000{f' Gres=gpu:{kind}:{GPUS_PER_NODE} Feature={kind}' if kind else ''}\n"
            for number, (name, kind) in enumerate(NODES.items(), start=1)
        )
        text = CONFIGURATION.format(**values) + nodes + PARTITIONS
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (self.folder / OWNER).write_text(str(os.getpid()))
        for number in range(GPUS_PER_NODE):  # GPUs need a device file of their own each; these are like /dev/null
            subprocess.run(["mknod", "-m", "666", self.folder / f"dev/nvidia{number}", "c", "1", "3"], check=True)
        devices = f"{self.folder}/dev/nvidia[0-{GPUS_PER_NODE - 1}]"
        gres = [f"NodeName={name} Name=gpu Type={kind} File={devices}\n" for name, kind in NODES.items() if kind]
        (self.folder / "gres.conf").write_text("".join(gres))
        record = self.folder / "record_task.sh"
        record.write_text(RECORD_TASK.format(**values))
        record.chmod(0o755)
        LINKS.mkdir(exist_ok=True)
        for file in LINKED:
            (LINKS / file).unlink(missing_ok=True)
            (LINKS / file).symlink_to(self.folder / file)

    def _make_network(self) -> None:
        """Make the nodes' network: a cable to the controller, no route beyond it."""
        if not self.isolated:
            return
        output(["ip", "netns", "del", NAMESPACE], check=False)
        controller, address = ADDRESSES
        inside = ["nsenter", f"--net=/run/netns/{NAMESPACE}"]
        for command in (
            ["ip", "netns", "add", NAMESPACE],
            ["ip", "link", "add", "cbio0", "type", "veth", "peer", "name", "cbio1", "netns", NAMESPACE],
            ["ip", "addr", "add", f"{controller}/30", "dev", "cbio0"],
            ["ip", "link", "set", "cbio0", "up"],
            [*inside, "ip", "addr", "add", f"{address}/30", "dev", "cbio1"],
            [*inside, "ip", "link", "set", "cbio1", "up"],
            [*inside, "ip", "link", "set", "lo", "up"],
        ):
            output(command)

    def _run(self, *command: str) -> None:
        """Start a daemon, which puts itself into the background."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def _answers(self) -> bool:
        """Return whether the controller is there."""
        return "is UP" in output(["scontrol", "ping"], check=False)

    def _kill_jobs(self, node: str) -> None:
        """Kill what jobs run on a node, their keepers first, which would report an end."""
        mark = f"SLURMD_NODENAME={node}"
        found = [
            int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if mark in text_of(path).split("\0")
        ]
        parents = {int(number) for pid in found for number in status_of(pid, "PPid")}
        keepers = [pid for pid in parents if "slurmstepd" in status_of(pid, "Name")]
        for pid in (*keepers, *found):
            kill(pid, signal.SIGKILL)

    def _ready_nodes(self) -> int:
        """Return how many nodes take jobs."""
        listed = output(["sinfo", "--noheader", "--Node", "--format", "%N %T"], check=False)
        return len({line.split()[0] for line in listed.splitlines() if re.search(r" (idle|mixed|allocated)$", line)})
