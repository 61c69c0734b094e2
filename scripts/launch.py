"""Start a training program in as many processes as there are GPUs, and return by the exit code whether it finished.

    python scripts/launch.py --gpus 4 --run-state STATE.json -- scripts/pretrain_model.py --run ...

One process is started by python, several on one node by torchrun, several nodes by srun and torchrun. The exit code is
0 if the program says in its state file that every step is done, 130 if a second SIGINT ended it at once, else 1:
torchrun knows no other codes.
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
import time
from pathlib import Path

from compactbio.files import read_json
from compactbio.logs import run_program
from compactbio.pretraining.sampling import check_split
from compactbio.training.checkpoints import TrainingState
from compactbio.training.deadlines import INTERRUPTED_CODE, SAME_SECONDS, STOPPING
from compactbio.training.launching import (
    GPUS,
    PATIENCE,
    are_handed_out,
    claimed_gpus,
    find_meeting,
    launch_command,
    processes_for,
    threads_per_process,
    visible_gpus,
)

FORWARDED = STOPPING
SECONDS_TO_LEAVE = 5.0


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
    processes, found = arguments.processes, visible_gpus(environment)
    if arguments.nodes > 1:
        processes = processes or max(arguments.gpus, 1)
    elif processes is None:
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
    if found and arguments.gpus and arguments.processes is None and are_handed_out(environment):
        environment[GPUS] = str(on_node)
    environment |= PATIENCE | {"OMP_NUM_THREADS": str(threads)}
    environment.setdefault("HF_HUB_OFFLINE", "1")  # everything is in the folders given; nodes have no network
    # threads that wait by spinning made a step three times as long where processes shared cores
    environment.setdefault("OMP_WAIT_POLICY", "passive")
    arguments.run_state.unlink(missing_ok=True)  # an earlier try left it
    logging.info("%s", shlex.join(command))
    with claim as names:
        if names:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(names)
        forwarding = Forwarding(processes=processes, nodes=arguments.nodes)
        forwarding.install()
        code = forwarding.run(command, environment)
    sys.exit(exit_code(code, arguments.run_state))


class Forwarding:
    """Hands on the signals that ask a command to save and leave; a second SIGINT ends all of it at once.

    A single process gets what a terminal sends to its group from the terminal as well, and takes it once. torchrun and
    srun are kept away from the terminal: torchrun would end with a traceback, so its processes get the SIGINT instead;
    srun takes one SIGINT for a question, so it gets a SIGTERM, which it hands on.
    """

    def __init__(self, *, processes: int, nodes: int) -> None:
        self.under_torchrun, self.under_srun = processes > 1 and nodes == 1, nodes > 1
        self.process: subprocess.Popen[bytes] | None = None
        self.early: list[int] = []  # signals that came before the process was there
        self.interrupted_at: float | None = None
        self.told_to_leave: list[int] = []

    def install(self) -> None:
        """Take over the signals."""
        for number in FORWARDED:
            if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGINT:
                signal.signal(number, self._note)

    def run(self, command: list[str], environment: dict[str, str]) -> int:
        """Run a command and return its exit code."""
        group = 0 if self.under_torchrun or self.under_srun else None  # 0: one of its own
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, process_group=group)
        self.process = process
        while self.early:
            self._note(self.early.pop(0), None)
        code = process.wait()
        wait_or_kill(self.told_to_leave)
        return INTERRUPTED_CODE if code == -signal.SIGINT or self.told_to_leave else code

    def _note(self, number: int, _: object) -> None:
        """Hand on a signal."""
        if self.process is None:
            self.early.append(number)
        elif number == signal.SIGINT:
            self._interrupt(self.process)
        else:
            self.process.send_signal(signal.SIGTERM if self.under_srun else number)

    def _interrupt(self, process: subprocess.Popen[bytes]) -> None:
        """Hand on a SIGINT, or end everything where it is the second."""
        now = time.monotonic()
        again = self.interrupted_at is not None and now - self.interrupted_at > SAME_SECONDS
        if self.interrupted_at is not None and not again:
            return  # one ^C that came by two ways
        self.interrupted_at = self.interrupted_at or now
        ranks = processes_below(process.pid) if self.under_torchrun else []
        if again and ranks:
            self.told_to_leave = ranks
            process.kill()  # it would report their end as a failure
        if ranks:
            send(ranks, signal.SIGINT)
        elif self.under_srun and not again:
            process.terminate()
        elif self.under_srun:
            process.send_signal(signal.SIGINT)  # two within a second have srun end the step
            process.send_signal(signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)


def processes_below(parent: int) -> list[int]:
    """Return the processes that a process has started and that are running."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # ended meanwhile
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


def send(processes: list[int], number: int) -> None:
    """Send a signal to processes, of which some may have ended."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def wait_or_kill(processes: list[int]) -> None:
    """Wait until processes that have to leave at once have ended, and kill those that do not."""
    until = time.monotonic() + SECONDS_TO_LEAVE
    while any(Path(f"/proc/{process}").exists() for process in processes):
        if time.monotonic() > until:
            send(processes, signal.SIGKILL)
            return
        time.sleep(0.05)


def exit_code(code: int, state_file: Path) -> int:
    """Return 0 if the state file says that the run is finished, 130 after a second SIGINT, else 1, and log why."""
    if code == INTERRUPTED_CODE:
        return code  # a person did not want to wait for a checkpoint, and the program has said so
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
