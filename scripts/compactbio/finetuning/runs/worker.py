"""A process that does runs which another one hands it (side_by_side.py), and what the two tell each other."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection

from compactbio.errors import UserError
from compactbio.finetuning.runs.planning import PlannedRun
from compactbio.finetuning.runs.workbench import Job, Workbench
from compactbio.logs import start_logging
from compactbio.training.deadlines import StopSignal
from compactbio.training.error_causes import in_words, is_taken, lacks_memory

POLL_SECONDS = 0.5  # between looks whether a signal came


@dataclass(frozen=True)
class Task:
    """A run to do; `gained`: one was finished before, `at_once`: so many share the device."""

    run: PlannedRun
    gained: bool
    at_once: int


@dataclass(frozen=True)
class Room:
    """What a run found after its first step, in bytes: free on the GPU, held there by its process, held on the host.

    Without a GPU the first two are 0.
    """

    free: int
    held: int
    host: int


@dataclass(frozen=True)
class Outcome:
    """How a run ended; without an error it finished or has to go on another time.

    `taken`: the GPU takes one process only, and another had it.
    """

    finished: bool
    error: str = ""
    lacked_memory: bool = False
    taken: bool = False


def work(job: Job, channel: Connection, on_gpu: bool) -> None:
    """Do the runs that come by a channel until it is closed; a process of its own.

    Args:
        on_gpu: a GPU is expected, beside which torch has one thread on the CPU. Elsewhere, or where torch cannot use
            that GPU, it has as many as one run after the other would have, for the same bits.
    """
    start_logging()
    stop = StopSignal().install()
    threading.Thread(target=_leave_with_parent, args=(stop,), daemon=True).start()
    bench: Workbench | None = None
    while True:
        try:
            task: Task = channel.recv()
        except (EOFError, OSError):
            return
        start_logging(task.run.name)
        try:
            if bench is None:
                bench = Workbench(job, stop)
                if on_gpu:
                    _leave_cores_to_others()
            finished = bench.do(
                task.run,
                gained=task.gained,
                at_once=task.at_once,
                at_step=lambda taken: _tell(channel, _room()) if taken else None,
            )
        except Exception as error:
            if not isinstance(error, (UserError, OSError)) and not lacks_memory(error) and not is_taken(error):
                logging.exception("run %s", task.run.name)
            _tell(channel, Outcome(False, in_words(error), lacks_memory(error), is_taken(error)))
            return  # what the run held goes with the process
        _tell(channel, Outcome(finished))


def _tell(channel: Connection, message: Room | Outcome) -> None:
    """Send a message to the main process, if it is still there."""
    with contextlib.suppress(OSError):
        channel.send(message)


def _leave_cores_to_others() -> None:
    """Give torch one thread where it computes on a GPU."""
    import torch

    if torch.cuda.is_available():
        torch.set_num_threads(1)


def _room() -> Room:
    """Return what this process holds and leaves after its first step."""
    import resource

    import torch

    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if not torch.cuda.is_available():
        return Room(0, 0, host)
    torch.cuda.synchronize()
    return Room(torch.cuda.mem_get_info()[0], torch.cuda.max_memory_reserved(), host)


def _leave_with_parent(stop: StopSignal) -> None:
    """Save and leave when the process that started this one has ended without a word."""
    parent = parent_process()
    while parent is not None and parent.is_alive():
        parent.join(timeout=None)
        time.sleep(POLL_SECONDS)
    stop.reason = stop.reason or "the end of the main process"
