"""One training loop for all stages: global-count normalisation, deadline, checkpoints, metrics."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.interface import LoopResult, LoopSettings, MicroBatch, StepModule
from compactbio.training.processes import start_accelerator
from compactbio.training.progress import MetricsLog
from compactbio.training.trainer import Trainer


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed torch (dropout) for one step of one process, so that no generator state has to be saved."""
    state = int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])
    # torch.manual_seed would also format a traceback for each kind of device that is not there: 95 us for 1
    torch.default_generator.manual_seed(state)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(state)


@contextlib.contextmanager
def prefetched(
    batches: Callable[[int], list[MicroBatch]], first: int, total: int, device: torch.device
) -> Iterator[Callable[[int], list[MicroBatch]]]:
    """Yield a function that gives each step's micro-batches, made one step ahead in a thread, in order."""
    pool = ThreadPoolExecutor(1, "batches", _use, (device,))
    pending = {first: pool.submit(batches, first)} if first <= total else {}

    def batch_of(step: int) -> list[MicroBatch]:
        ready = pending.pop(step).result()
        if step < total:
            pending[step + 1] = pool.submit(batches, step + 1)
        return ready

    try:
        yield batch_of
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _use(device: torch.device) -> None:
    """Have this thread use a process's own GPU: else what it asks of CUDA would go to the first."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def run_training(
    *,
    module: StepModule,
    optimizer: torch.optim.Optimizer,
    learning_rate_at: Callable[[int], float],
    batches: Callable[[int], list[MicroBatch]],
    settings: LoopSettings,
    checkpoints: CheckpointFolder,
    metrics: MetricsLog,
    evaluate: Callable[[int], dict[str, Any]] | None = None,
    evaluate_at: set[int] | frozenset[int] = frozenset(),
    seed: int,
    accelerator: Accelerator | None = None,
    examples: Sequence[MicroBatch] = (),
) -> LoopResult:
    """Train from the newest sound checkpoint to `total_steps`, or to the deadline or a signal, saving before leaving.

    Args:
        batches: this process's micro-batches (at least one) of a step, a pure function; it runs in a thread one
            step ahead and must not use torch's global generator.
        examples: a micro-batch of each fixed shape, the largest first.
        evaluate: called by every process after the steps in `evaluate_at`; its result goes to the metrics.

    Raises:
        UserError: the loss or the gradient is not finite, the loss diverges (`divergence.LossWatch` says what that
            means), or a checkpoint cannot be written.
    """
    accelerator = accelerator or start_accelerator()
    trainer = Trainer(module, optimizer, settings, checkpoints, metrics, accelerator)
    started_at = step = trainer.resume(examples)
    began = time.monotonic()
    reason = "finished"
    try:
        with prefetched(batches, step + 1, settings.total_steps, accelerator.device) as batch_of:
            while step < settings.total_steps:
                micro_batches = batch_of(step + 1)
                denominators, save, leave = trainer.agree(micro_batches)
                if leave:
                    reason = leave
                    break
                if step == started_at and settings.at_step is not None:
                    settings.at_step(0)
                step += 1
                seed_step(seed, step, accelerator.process_index)
                trainer.take_step(step, micro_batches, denominators, learning_rate_at(step))
                if step == started_at + 1 and settings.at_step is not None:
                    settings.at_step(1)
                if step % settings.log_every_steps == 0 or step in (1, settings.total_steps):
                    trainer.log(step, learning_rate_at(step))
                if evaluate is not None and step in evaluate_at:
                    trainer.evaluate(step, evaluate)
                every = settings.checkpoint_every_steps
                if step == settings.total_steps or save or (every and step % every == 0):
                    trainer.save(step)
        if step > trainer.saved_step:
            trainer.save(step)
        step = trainer.saved_step  # lower where the last state was not fit to be kept
        trainer.write_state(step, reason)
    finally:
        metrics.close()
        trainer.release()
    return LoopResult(
        step, settings.total_steps, step == settings.total_steps, reason, started_at, time.monotonic() - began
    )
