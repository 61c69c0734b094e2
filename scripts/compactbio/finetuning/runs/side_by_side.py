"""Runs of one job side by side on one GPU, which a small model leaves idle for most of the time.

Each is done in a process with a CUDA context of its own: torch has one generator of random numbers a process, which
each step seeds, and the launches of several runs in one process would wait for Python's one lock. So a run's numbers
are those of one run after the other, and one that dies takes no other with it. The first run to take a step says how
much memory it holds; as many more are started as fit into the GPU's, into the job's, and as there are cores.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from compactbio.errors import UserError
from compactbio.finetuning.runs.planning import PlannedRun
from compactbio.finetuning.runs.workbench import Job
from compactbio.finetuning.runs.worker import POLL_SECONDS, Outcome, Room, Task, work
from compactbio.training.deadlines import StopSignal
from compactbio.training.launching import threads_per_process
from compactbio.training.tries import Tries, TriesRecord, read_tries

SHARE = 0.8  # of the memory that is free; the rest is for what runs need beyond their first step
CONTEXT_BYTES = 0.7e9  # of a process on a GPU, beside what torch holds (an estimate)
HOST_SHARE = 0.9


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
    """A process that does runs, and the one that it is at; `stepped`: this has taken a step.

    `tries`: the record of the run's tries before this one.
    """

    process: BaseProcess
    channel: Connection
    run: PlannedRun | None = None
    stepped: bool = False
    tries: TriesRecord | None = None


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
        self.measures = self.counts_on_gpu = at_once is None
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
            self._give(Task(self.waiting.popleft(), self.gained, self.most))

    def _give(self, task: Task) -> None:
        """Have an idle worker do a run or, where none is there or those that were have died, a new one."""
        for worker in [worker for worker in self.workers if worker.run is None]:
            if self._tell(worker, task):
                return
            worker.process.join()
            logging.warning("an idle process died (exit code %s): another one is started", worker.process.exitcode)
            self.workers.remove(worker)
        self._tell(self._start(), task)  # whose death is heard as that of the run

    def _tell(self, worker: Worker, task: Task) -> bool:
        """Send a worker what to do; return whether it is still there."""
        worker.run, worker.stepped, worker.tries = task.run, False, read_tries(task.run.folder)
        try:
            worker.channel.send(task)
        except OSError:
            return False
        return True

    def _start(self) -> Worker:
        """Start a worker."""
        context = get_context("spawn")  # a forked process could not use the GPU
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(self.job, theirs, self.counts_on_gpu), daemon=True)
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
        """Keep an error, or have the run done again alone; stop handing out where the cause may be that of all.

        Beside others, idle ones too, a lack of memory says nothing of the run: the try alone decides whether it stalls.
        """
        if self.workers and (outcome.lacked_memory or outcome.taken):
            Tries(run.folder).undo(worker.tries)
            if outcome.taken:
                logging.warning("one run at a time, as the GPU takes one process only: %s", outcome.error)
                self.waiting.appendleft(run)
                self.most = 1
                return
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
