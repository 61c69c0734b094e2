"""Start a training program in as many processes as there are GPUs, and return by the exit code whether it finished.

    python scripts/launch.py --gpus 4 --run-state STATE.json -- scripts/pretrain_model.py --run ...

One process is started by python, several on one node by torchrun, several nodes by srun and torchrun. The exit code is
0 if the program says in its state file that every step is done, else 1: torchrun knows no other codes.
Without any NVIDIA GPU on the machine, one process runs on the CPU whatever --gpus is (with a warning).
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from compactbio.files import read_json
from compactbio.logs import run_program
from compactbio.pretraining.sampling import check_split
from compactbio.training.checkpoints import TrainingState
from compactbio.training.launching import (
    claimed_gpus,
    find_meeting,
    launch_command,
    processes_for,
    threads_per_process,
    visible_gpus,
)

FORWARDED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def parse_arguments() -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=0, help="of the whole job; they divide by the nodes")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--processes", type=int, help="of the whole job, whatever GPUs there are (gloo without any)")
    parser.add_argument("--global-batch-size", type=int, help="refuse processes that do not divide it, at once")
    parser.add_argument("--run-state", type=Path, required=True, help="JSON that the program leaves: `finished`")
    parser.add_argument("--rank-logs", type=Path, help="folder: what each of several processes prints is kept here too")
    parser.add_argument("--dry-run", action="store_true", help="print the command and end")
    parser.add_argument("program", nargs="+", help="after --: the program and its arguments")
    return parser.parse_args()


def main() -> None:
    """Build the command, run it, forward signals, read the state."""
    arguments = parse_arguments()
    environment = dict(os.environ)
    claim: contextlib.AbstractContextManager[list[str]] = contextlib.nullcontext([])
    processes = arguments.processes
    if arguments.nodes > 1:
        processes = processes or max(arguments.gpus, 1)
    elif processes is None:
        found = visible_gpus(environment)
        processes = processes_for(arguments.gpus, len(found))
        if found and arguments.gpus and "CUDA_VISIBLE_DEVICES" not in environment and not arguments.dry_run:
            claim = claimed_gpus(processes, found)
    if arguments.global_batch_size is not None:
        check_split(arguments.global_batch_size, processes)
    on_node = max(1, processes // arguments.nodes)
    threads = threads_per_process(environment, on_node)
    command = launch_command(
        arguments.program,
        processes=processes,
        nodes=arguments.nodes,
        meeting=find_meeting(environment) if arguments.nodes > 1 else (),
        cores_per_node=threads * on_node if arguments.nodes > 1 else None,
        logs=arguments.rank_logs,
    )
    if arguments.dry_run:
        sys.stdout.write(shlex.join(command) + "\n")
        return
    environment["OMP_NUM_THREADS"] = str(threads)
    environment.setdefault("HF_HUB_OFFLINE", "1")  # everything is in the folders given; nodes have no network
    # threads that wait by spinning made a step three times as long where processes shared cores
    environment.setdefault("OMP_WAIT_POLICY", "passive")
    arguments.run_state.unlink(missing_ok=True)  # an earlier try left it
    logging.info("%s", shlex.join(command))
    with claim as names:
        if names:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(names)
        code = run_and_forward(command, environment)
    sys.exit(exit_code(code, arguments.run_state))


def run_and_forward(command: list[str], environment: dict[str, str]) -> int:
    """Run the command, hand on the signals that ask it to save and leave, and return its exit code."""
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    for number in FORWARDED:
        signal.signal(number, lambda received, _: process.send_signal(received))
    return process.wait()


def exit_code(code: int, state_file: Path) -> int:
    """Return 0 if the state file says that the run is finished, else 1, and say why in the log."""
    if not state_file.is_file():
        logging.error("the program ended with code %d and left no state: see the messages above", code)
        return 1
    state: TrainingState = read_json(state_file)
    if state.get("finished"):
        return 0
    logging.warning(
        "unfinished at step %s of %s (%s): started again, it goes on from there",
        state.get("step", 0),
        state.get("total_steps", "?"),
        state.get("reason", "unknown reason"),
    )
    return 1


if __name__ == "__main__":
    run_program(main)
