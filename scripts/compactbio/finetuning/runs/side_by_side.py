"""Runs of one job side by side on one GPU, which a small model leaves idle for most of the time.

Each is done in a process with a CUDA context of its own: torch has one generator of random numbers a process, which
each step seeds, and the launches of several runs in one process would wait for Python's one lock. So a run's numbers
are those of one run after the other, and one that dies takes no other with it. The first run to take a step says how
much memory it holds; as many more are started as fit into the GPU's, into the job's, and as there are cores.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from compactbio.errors import UserError
from compactbio.finetuning.runs.planning import PlannedRun
from compactbio.finetuning.runs.workbench import Job, Workbench
from compactbio.logs import start_logging
from compactbio.training.deadlines import StopSignal
from compactbio.training.error_causes import in_words, lacks_memory
from compactbio.training.launching import threads_per_process

POLL_SECONDS = 0.5  # between looks whether a signal came
SHARE = 0.8  # of the memory that is free; the rest is for what runs need beyond their first step
CONTEXT_BYTES = 0.7e9  # of a process on a GPU, beside what torch holds (an estimate)
HOST_SHARE = 0.9


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
    """How a run ended; without an error it finished or has to go on another time."""

    finished: bool
    error: str = ""
    lacked_memory: bool = False


def do_side_by_side(
    job: Job, missing: Sequence[PlannedRun], stop: StopSignal | None, at_once: int | None, memory_mb: int | None = None
) -> bool:
    """Do runs, `at_once` side by side (None: as many as fit); return whether all came to their end.

    Args:
        memory_mb: of the host that the job may use; None: no limit.

    Raises:
        UserError: a run failed; the others were done all the same, where its cause was not theirs too.
    """
    return Crew(job, missing, stop, at_once, memory_mb).finish()


def fitting_runs(room: Room, *, runs: int, cores: int, memory_mb: int | None) -> int:
    """Return how many runs may be done at once, one of which found this room."""
    on_gpu = 1 + int(SHARE * room.free / (room.held + CONTEXT_BYTES))
    on_host = runs if memory_mb is None else int(HOST_SHARE * 1e6 * memory_mb / max(room.host, 1))
    return max(1, min(on_gpu, on_host, cores, runs))


@dataclass(eq=False)
class Worker:
    """A process that does runs, and the one that it is at; `stepped`: this has taken a step."""

    process: BaseProcess
    channel: Connection
    run: PlannedRun | None = None
    stepped: bool = False


class Crew:
    """The processes of a job, and which runs are still to be done."""

    def __init__(
        self,
        job: Job,
        missing: Sequence[PlannedRun],
        stop: StopSignal | None,
        at_once: int | None,
        memory_mb: int | None,
    ) -> None:
        self.job, self.stop, self.memory_mb = job, stop, memory_mb
        self.waiting = deque(missing)
        self.alone: list[PlannedRun] = []  # that lacked memory beside others
        self.measures = at_once is None
        self.most = 1 if at_once is None else min(at_once, len(missing))
        self.workers: list[Worker] = []
        self.leaving = self.gained = False
        self.unfinished = 0
        self.errors: list[str] = []

    def finish(self) -> bool:
        """Do all runs; return whether all came to their end."""
        try:
            while True:
                self._hand_out()
                busy = {worker.channel: worker for worker in self.workers if worker.run is not None}
                if not busy:
                    break
                for channel in wait(list(busy), timeout=POLL_SECONDS):
                    self._hear(busy[channel])  # type: ignore[index]  # they are those given
                if self.stop is not None and self.stop.reason is not None and not self.leaving:
                    self._leave()
        finally:
            self._dismiss()
        if self.errors:
            raise UserError("; ".join(self.errors))
        return not (self.unfinished or self.waiting or self.alone)

    def _hand_out(self) -> None:
        """Give runs to workers, as many as may be done at once."""
        if not self.waiting and self.alone and not any(worker.run for worker in self.workers):
            self._dismiss()  # idle ones hold memory
            self.waiting, self.alone, self.most = deque(self.alone), [], 1
        while self.waiting and not self.leaving and sum(worker.run is not None for worker in self.workers) < self.most:
            idle = next((worker for worker in self.workers if worker.run is None), None) or self._start()
            idle.run, idle.stepped = self.waiting.popleft(), False
            idle.channel.send(Task(idle.run, self.gained, self.most))

    def _start(self) -> Worker:
        """Start a worker."""
        context = get_context("spawn")  # a forked process could not use the GPU
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(self.job, theirs, 1 if self.measures else None), daemon=True)
        process.start()
        theirs.close()
        self.workers.append(Worker(process, ours))
        return self.workers[-1]

    def _hear(self, worker: Worker) -> None:
        """Take a worker's message, or note its death."""
        run = worker.run
        assert run is not None
        try:
            message = worker.channel.recv()
        except (EOFError, OSError):
            worker.process.join()
            message = Outcome(False, f"its process died (exit code {worker.process.exitcode})")
        if isinstance(message, Room):
            worker.stepped = True
            if self.measures and message.held:
                self._measure(message)
            return
        worker.run = None
        self.gained |= message.finished
        if message.error:
            self.workers.remove(worker)
            self._note_error(run, worker, message)
        elif not message.finished:  # a deadline or a signal, which hold for all
            self.unfinished += 1
            self.leaving = True

    def _measure(self, room: Room) -> None:
        """Find out how many runs may be done at once."""
        self.measures = False
        runs = len(self.waiting) + 1
        cores = threads_per_process(os.environ, 1)
        self.most = fitting_runs(room, runs=runs, cores=cores, memory_mb=self.memory_mb)
        logging.info(
            "%d runs at once: one holds %.1f GB of the GPU, where %.1f GB are free, and %.1f GB of the host; %d cores",
            self.most,
            room.held / 1e9,
            room.free / 1e9,
            room.host / 1e9,
            cores,
        )

    def _note_error(self, run: PlannedRun, worker: Worker, outcome: Outcome) -> None:
        """Keep an error, or have the run done again alone; stop handing out where the cause may be that of all."""
        if outcome.lacked_memory and sum(other.run is not None for other in self.workers):
            logging.warning("run %s lacked memory beside others and is done again alone: %s", run.name, outcome.error)
            self.alone.append(run)
            self.most = max(1, self.most - 1)
            return
        logging.error("run %s failed: %s", run.name, outcome.error)
        self.errors.append(f"run {run.name}: {outcome.error}")
        if not worker.stepped:
            self.leaving = True

    def _leave(self) -> None:
        """Ask all workers to save and leave."""
        self.leaving = True
        for worker in self.workers:
            worker.process.terminate()

    def _dismiss(self) -> None:
        """Let idle workers end; those at work, where this process fails, save and end."""
        for worker in self.workers:
            if worker.run is not None:
                worker.process.terminate()
            worker.channel.close()  # which ends its wait for another run
        for worker in self.workers:
            worker.process.join()
        self.workers = []


def work(job: Job, channel: Connection, threads: int | None) -> None:
    """Do the runs that come by a channel until it is closed; a process of its own.

    Args:
        threads: of torch on the CPU; None: as many as one run after the other would have, for the same bits.
    """
    start_logging()
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
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
            bench = bench or Workbench(job, stop)
            finished = bench.do(
                task.run,
                gained=task.gained,
                at_once=task.at_once,
                at_step=lambda taken: _tell(channel, _room()) if taken else None,
            )
        except Exception as error:
            if not isinstance(error, (UserError, OSError)) and not lacks_memory(error):
                logging.exception("run %s", task.run.name)
            _tell(channel, Outcome(False, in_words(error), lacks_memory(error)))
            return  # what the run held goes with the process
        _tell(channel, Outcome(finished))


def _tell(channel: Connection, message: Room | Outcome) -> None:
    """Send a message to the main process, if it is still there."""
    with contextlib.suppress(OSError):
        channel.send(message)


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
