"""The command that starts a training program in one or several processes, and the GPUs it may use.

Nothing here imports torch: a launcher must not touch a GPU.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from compactbio.errors import UserError
from compactbio.locks import try_lock
from compactbio.slurm import output_of
from compactbio.training.deadlines import StopSignal

GPUS = "COMPACTBIO_GPUS"  # an environment variable: how many of this node's a training was started for
POLL_SECONDS = 5.0  # between looks for free GPUs
# torchrun would die of SIGUSR1 without handing it on
TORCHRUN = ("--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1",)
# it kills processes that need longer to save and leave (seconds; torch 2.11 knows no other number than 30)
PATIENCE = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "120"}
ON_NODE = Path(__file__).parents[2] / "start_on_node.py"


def launch_command(
    program: list[str],
    *,
    processes: int,
    nodes: int = 1,
    meeting: Sequence[str] = (),
    cores_per_node: int | None = None,
    logs: Path | None = None,
) -> list[str]:
    """Return the command line: python for one process, torchrun on one node, srun with torchrun on several.

    Args:
        program: a Python program and its arguments.
        processes: of the whole run; nodes share them equally.
        meeting: options of torchrun that say where the processes meet; needed for several nodes.
        cores_per_node: cores that a node's processes share, for srun.
        logs: folder in which what each of several processes prints is kept, besides being printed.

    Raises:
        UserError: the processes cannot be shared equally by the nodes.
    """
    if nodes < 1 or processes < 1 or processes % nodes:
        raise UserError(
            f"{processes} processes cannot be shared equally by {nodes} nodes: let resources gpu be a multiple of nodes"
        )
    if processes == 1:
        return [sys.executable, *program]
    # the `--` before the program keeps torchrun from taking its --run for an abbreviation of --run-path
    torchrun = [sys.executable, "-m", "torch.distributed.run", *TORCHRUN]
    if logs is not None:
        torchrun += ["--tee=3", f"--log-dir={logs}"]
    per_node = f"--nproc-per-node={processes // nodes}"
    if nodes == 1:
        return [*torchrun, "--standalone", per_node, "--", *program]
    if not meeting:
        raise UserError("several nodes need a SLURM job (SLURM_JOB_ID is not set): use --nodes 1 here")
    steps = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    if cores_per_node is not None:
        steps.append(f"--cpus-per-task={cores_per_node}")
    steps.append("--kill-on-bad-exit=1")  # else one dead node leaves the others waiting until the time limit
    return [*steps, sys.executable, str(ON_NODE), *torchrun, f"--nnodes={nodes}", per_node, *meeting, "--", *program]


def node_settings(environment: Mapping[str, str], command: Sequence[str]) -> dict[str, str]:
    """Return the variables that torchrun needs on one of several nodes, those that are set already left out.

    torchrun finds out whether it is the meeting place, and where others find it, by what its host's name resolves to;
    so does gloo. On many clusters that is a loopback address or another network's, and all would wait for each other.
    The first node gets the flag that it is the place, and each the address and network by which it reaches it.

    Args:
        command: torchrun's, with the options of `find_meeting`.
    """
    endpoint = next(one.partition("=")[2] for one in command if one.startswith("--rdzv-endpoint="))
    settings = {"PET_RDZV_CONF": f"is_host={int(environment.get('SLURM_NODEID') == '0')}"}
    address = _address_towards(endpoint.rpartition(":")[0])
    if address is not None and not address.startswith("127."):
        settings["PET_LOCAL_ADDR"] = address
        if interface := _interface_of(address):
            settings["GLOO_SOCKET_IFNAME"] = interface
    return {name: value for name, value in settings.items() if name not in environment}


def _address_towards(host: str) -> str | None:
    """Return this machine's address on the way to a host, None where there is no way."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # nothing is sent
        return str(probe.getsockname()[0])
    return None


def _interface_of(address: str) -> str | None:
    """Return the network interface that has an address."""
    import psutil

    interfaces = psutil.net_if_addrs().items()
    return next((name for name, held in interfaces if any(one.address == address for one in held)), None)


def find_meeting(environment: Mapping[str, str]) -> list[str]:
    """Return the options by which the processes of the present SLURM job meet on its first node; none outside a job.

    A rule with the resource `mpi` runs without SLURM_JOB_NODELIST, so the scheduler is asked for the nodes.
    """
    job = environment.get("SLURM_JOB_ID")
    if job is None:
        return []
    nodes = output_of("squeue", "--noheader", "--jobs", job, "--format", "%N").strip()
    first = output_of("scontrol", "show", "hostnames", nodes).splitlines()[0]
    facts = output_of("scontrol", "show", "node", first, "--oneliner").split()
    address = next((fact.split("=", 1)[1] for fact in facts if fact.startswith("NodeAddr=")), first)
    port = 20000 + int(job) % 20000  # from the job's number: jobs may share a host
    return [f"--rdzv-id={job}", "--rdzv-backend=c10d", f"--rdzv-endpoint={address}:{port}"]


def processes_for(gpus: int, found: int) -> int:
    """Return how many processes to start on this node for the GPUs asked for and found.

    A machine without any GPU runs one process on the CPU, so that the miniature and a workstation use the same
    rules as a cluster; a machine with too few is an error, since the run would be slower than anyone expects.
    """
    if found == 0:
        if gpus:
            logging.warning("%d GPU(s) were asked for and none is here: one process on the CPU", gpus)
        return 1
    if found < gpus:
        raise UserError(
            f"{gpus} GPUs were asked for and {found} are visible: lower resources gpu in the profile, or ask the "
            "scheduler for as many"
        )
    return max(gpus, 1)


def visible_gpus(environment: Mapping[str, str], devices: Path = Path("/dev")) -> list[str]:
    """Return the names of the NVIDIA GPUs that a program started here would see, as CUDA_VISIBLE_DEVICES has them.

    A GPU counts if its device file exists (or, as under WSL, nvidia-smi lists it): CUDA_VISIBLE_DEVICES alone proves
    nothing, some schedulers set it on machines without any. Where it is set, it names the ones that are ours.
    """
    count = len(list(devices.glob("nvidia[0-9]*")))
    if not count and devices == Path("/dev") and shutil.which("nvidia-smi"):
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
        count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    # CUDA counts from 0, also where a container has another one's file alone
    present = [str(number) for number in range(count)]
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if not present or chosen is None:
        return present
    return [name for name in chosen.split(",") if name.strip() and name.strip() not in ("-1", "NoDevFiles")]


def are_handed_out(environment: Mapping[str, str]) -> bool:
    """Return whether a scheduler, or the user by name, gave this program the GPUs that are visible."""
    return not environment.keys().isdisjoint(("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST"))


@contextlib.contextmanager
def claimed_gpus(
    count: int, present: list[str], folder: Path | None = None, stop: StopSignal | None = None
) -> Iterator[list[str]]:
    """Yield the names of so many GPUs of a machine without a scheduler once they are free, held by locks on files.

    Raises:
        UserError: a signal asked to leave while it waited.
    """
    folder = folder or Path(tempfile.gettempdir()) / f"compactbio-gpus-{os.getuid()}"
    for waits in itertools.count():
        names: list[str] = []
        with contextlib.ExitStack() as held:  # left where too few are free: else two launchers wait for each other
            for name in present:
                if lock := try_lock(folder / f"gpu{name}.lock"):
                    held.callback(lock.release)
                    names.append(name)
                if len(names) == count:
                    yield names
                    return
        if waits == 0:
            logging.info("waiting for %d free GPU(s) of %d (locks in %s)", count, len(present), folder)
        time.sleep(POLL_SECONDS)
        if stop is not None and stop.reason is not None:
            raise UserError(f"{stop.reason} received while this waited for a free GPU: nothing was begun")


@functools.cache  # else the next call would take its own choice for a scheduler's
def claim_gpu(stop: StopSignal | None = None) -> None:
    """Choose a free GPU for the life of this process where no scheduler has handed one out.

    Called before torch is imported, which would open a device on every GPU it sees.

    Raises:
        UserError: a signal asked to leave while it waited.
    """
    found = visible_gpus(os.environ)
    if found and are_handed_out(os.environ):
        os.environ[GPUS] = "1"
    if found and "CUDA_VISIBLE_DEVICES" not in os.environ:
        held = contextlib.ExitStack()
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held.enter_context(claimed_gpus(1, found, stop=stop)))
        atexit.register(held.close)


def threads_per_process(environment: Mapping[str, str], processes_on_node: int) -> int:
    """Return the threads that each process of a node may use: the job's cores shared equally."""
    given = environment.get("OMP_NUM_THREADS", "")
    cores = int(given) if given.isdigit() and int(given) > 0 else len(os.sched_getaffinity(0))
    return max(1, cores // processes_on_node)
