"""One training loop for all stages: global-count normalisation, deadline, checkpoints, metrics."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

from compactbio.errors import UserError
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.interface import LoopResult, LoopSettings, MicroBatch, StepModule
from compactbio.training.processes import Agreement, start_accelerator
from compactbio.training.progress import MetricsLog

__all__ = ["LoopResult", "LoopSettings", "MicroBatch", "StepModule", "run_training", "seed_step"]


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed torch (dropout) for one step of one process, so that no generator state has to be saved."""
    state = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))


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
) -> LoopResult:
    """Train from the newest sound checkpoint to `total_steps`, or to the deadline or a signal, saving before leaving.

    Args:
        batches: this process's micro-batches (at least one) of a step, a pure function; it runs in a thread one
            step ahead and must not use torch's global generator.
        evaluate: called by every process after the steps in `evaluate_at`; its result goes to the metrics.

    Raises:
        UserError: the loss or the gradient is not finite, or a checkpoint cannot be written.
    """
    accelerator = accelerator or start_accelerator()
    run = _Run(module, optimizer, settings, checkpoints, metrics, accelerator)
    started_at = step = run.resume()
    began = time.monotonic()
    reason = "finished"
    try:
        with _prefetched(batches, step + 1, settings.total_steps) as batch_of:
            while step < settings.total_steps:
                micro_batches = batch_of(step + 1)
                denominators, save, leave = run.agree(micro_batches)
                if leave:
                    reason = leave
                    break
                step += 1
                seed_step(seed, step, accelerator.process_index)
                run.take_step(step, micro_batches, denominators, learning_rate_at(step))
                if step % settings.log_every_steps == 0 or step in (1, settings.total_steps):
                    run.log(step, learning_rate_at(step))
                if evaluate is not None and step in evaluate_at:
                    run.evaluate(step, evaluate)
                every = settings.checkpoint_every_steps
                if step == settings.total_steps or save or (every and step % every == 0):
                    run.save(step)
        if step > run.saved_step:
            run.save(step)
        run.write_state(step, reason)
    finally:
        metrics.close()
        run.release()
    return LoopResult(
        step, settings.total_steps, step == settings.total_steps, reason, started_at, time.monotonic() - began
    )


class _Run:
    """The moving parts of one call of `run_training`."""

    def __init__(
        self,
        module: StepModule,
        optimizer: torch.optim.Optimizer,
        settings: LoopSettings,
        checkpoints: CheckpointFolder,
        metrics: MetricsLog,
        accelerator: Accelerator,
    ) -> None:
        self.plain = module
        self.optimizer = optimizer
        self.settings = settings
        self.checkpoints = checkpoints
        self.metrics = metrics
        self.accelerator = accelerator
        self.agreement = Agreement(accelerator)
        self.save_seconds = 0.0
        self.step_seconds = 0.0
        self.asked_at: float | None = None
        self.saved_step = 0

    def resume(self) -> int:
        """Load the newest sound checkpoint, hand the module to accelerate, return the finished steps."""
        chosen: list[Any] = [None]
        if self.accelerator.is_main_process:
            chosen = [self.checkpoints.latest()]
        broadcast_object_list(chosen)  # one process decides: a shared disk may show the others less
        checkpoint: Path | None = chosen[0]
        step, states = 0, None
        self.began = time.monotonic()
        if checkpoint is not None:
            step, states, _ = self.checkpoints.restore(checkpoint, self.plain)
            logging.info("resuming from %s", checkpoint)
        self.module, self.prepared_optimizer = self.accelerator.prepare(self.plain, self.optimizer)
        if states is not None:
            self.optimizer.load_state_dict(states["optimizer"])
            if states["scaler"] and self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(states["scaler"])
        self.seconds_before = float(self.checkpoints.read_state().get("seconds", 0.0)) if step else 0.0
        self.saved_step = step
        self.parameters = [value for value in self.plain.parameters() if value.requires_grad]
        self.module.train()
        self.metrics.start(done_steps=step, total_steps=self.settings.total_steps)
        self.saved_at = self.logged_at = time.monotonic()
        self._clear_sums()
        return step

    def agree(self, micro_batches: list[MicroBatch]) -> tuple[dict[str, float], bool, str]:
        """Return what all processes share before a step: denominators, whether to save after it, why to leave."""
        if not micro_batches:
            raise RuntimeError("a process has no micro-batch: the global batch is smaller than the number of processes")
        names = sorted(micro_batches[0].counts)
        counts = [sum(batch.counts[name] for batch in micro_batches) for name in names]
        now = time.monotonic()
        settings = self.settings
        if self.asked_at is not None:
            self.step_seconds = max(0.9 * self.step_seconds, now - self.asked_at)
        self.asked_at = now
        reserve = 1.5 * self.save_seconds + 2.0 * self.step_seconds
        late = settings.deadline is not None and now + reserve >= settings.deadline
        told = settings.stop is not None and settings.stop.reason is not None
        minutes = settings.checkpoint_every_minutes
        due = minutes is not None and now - self.saved_at >= 60.0 * minutes
        main = self.accelerator.is_main_process
        *sums, late_sum, told_sum, due_sum = self.agreement.sums(
            [*counts, float(late), float(told), float(due and main)]
        )
        # a term that nothing in the whole batch contributes to is zero, not zero divided by zero
        denominators = {name: total or 1.0 for name, total in zip(names, sums, strict=True)}
        for name, total in zip(names, sums, strict=True):
            self.totals[name] = self.totals.get(name, 0.0) + total
        leave = "deadline" if late_sum else "signal" if told_sum else ""
        return denominators, bool(due_sum), leave

    def take_step(
        self,
        step: int,
        micro_batches: list[MicroBatch],
        denominators: dict[str, float],
        learning_rate: float,
    ) -> None:
        """Run forward and backward over the micro-batches and update the weights; the device is not waited for."""
        device, world = self.accelerator.device, self.accelerator.num_processes
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        step_loss = torch.zeros((), device=device)
        for number, batch in enumerate(micro_batches, start=1):
            tensors = {name: value.to(device, non_blocking=True) for name, value in batch.tensors.items()}
            last = number == len(micro_batches)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.module):
                loss = self.module(tensors, denominators)
                # data parallelism averages gradients over processes; the loss is a sum over them
                self.accelerator.backward(loss * world)
            step_loss += loss.detach().float()
            for name, value in self.plain.last_terms.items():
                self.terms[name] = self.terms[name] + value.float() if name in self.terms else value.float()
        norm = self._clip()
        self.prepared_optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        finite = torch.isfinite(step_loss)
        if self.accelerator.scaler is None:  # with loss scaling, gradients overflow at times and the update is skipped
            finite &= torch.isfinite(norm)
        self.first_bad = torch.where(finite | (self.first_bad > 0), self.first_bad, float(step))
        self.loss_sum += step_loss
        self.gradient_norm = norm
        self.steps += 1
        self.metrics.advance()

    def log(self, step: int, learning_rate: float) -> None:
        """Write a line of metrics: means over the steps since the line before."""
        loss, terms = self._check_finite(step)
        now = time.monotonic()
        seconds = max(now - self.logged_at, 1e-9)
        line = {
            "step": step,
            "total_steps": self.settings.total_steps,
            "loss": loss,
            "terms": terms,
            "learning_rate": learning_rate,
            "gradient_norm": float(self.gradient_norm),
            "tokens_per_second": self.totals.get("tokens", 0.0) / seconds,
            "sequences_per_second": self.totals.get("sequences", 0.0) / seconds,
            "seconds_per_step": seconds / self.steps,
            "eta_seconds": (self.settings.total_steps - step) * seconds / self.steps,
            "peak_memory_mb": _peak_memory_mb(),
        }
        self.metrics.write(line)
        self._clear_sums()
        self.logged_at = time.monotonic()

    def evaluate(self, step: int, evaluate: Callable[[int], dict[str, Any]]) -> None:
        """Write the result of an evaluation and go back to training; its time is no part of the rate."""
        began = time.monotonic()
        self.metrics.write({"step": step, "evaluation": evaluate(step)})
        self.module.train()
        self.logged_at += time.monotonic() - began

    def save(self, step: int) -> None:
        """Save a checkpoint, unless the numbers since the last one are not finite."""
        began = time.monotonic()
        self._check_finite(step)
        if self.accelerator.is_main_process:
            self.checkpoints.save(step, self.plain, self.optimizer, scaler=self.accelerator.scaler)
        self.write_state(step, "running")
        self.accelerator.wait_for_everyone()
        self.saved_step = step
        self.saved_at = time.monotonic()
        self.save_seconds = max(self.save_seconds, self.saved_at - began)
        self.logged_at += self.saved_at - began  # a save is no part of the rate

    def write_state(self, step: int, reason: str) -> None:
        """Write state.json (main process)."""
        if self.accelerator.is_main_process:
            total = self.settings.total_steps
            facts: dict[str, Any] = {"step": step, "total_steps": total, "finished": step == total, "reason": reason}
            facts["seconds"] = round(self.seconds_before + time.monotonic() - self.began, 3)
            self.checkpoints.write_state(**facts, **self.settings.state_facts)

    def release(self) -> None:
        """Take the module back from accelerate, which would keep it for the life of the process."""
        self.accelerator.unwrap_model(self.module, keep_fp32_wrapper=False)
        self.accelerator.free_memory()

    def _clip(self) -> Tensor:
        """Clip the gradients in place and return their norm before that, unread."""
        limit = self.settings.max_gradient_norm
        if limit is None:
            limit = float("inf")
        return self.accelerator.clip_grad_norm_(self.parameters, limit)

    def _check_finite(self, step: int) -> tuple[float, dict[str, float]]:
        """Return mean loss and terms since the last line; raise if any step of any process was not finite."""
        if self.steps == 0:
            return 0.0, {}
        names = sorted(self.terms)
        vector = torch.stack([self.first_bad, self.loss_sum, *(self.terms[name] for name in names)])
        rows = self.accelerator.gather(vector[None].double()).tolist()
        bad = min((row[0] for row in rows if row[0] > 0), default=0)
        if bad:
            latest = self.checkpoints.latest()
            raise UserError(
                f"the loss or its gradient is not a finite number at step {int(bad)} (seen at step {step}): "
                f"the last good checkpoint is {latest or 'none'}. Lower optimisation.peak_learning_rate, raise "
                "warmup_steps or use precision: fp32 in the configuration"
            )
        loss, *terms = [sum(column) / self.steps for column in zip(*(row[1:] for row in rows), strict=True)]
        return loss, dict(zip(names, terms, strict=True))

    def _clear_sums(self) -> None:
        """Begin a new interval between two lines of metrics."""
        device = self.accelerator.device
        self.steps = 0
        self.loss_sum = torch.zeros((), device=device)
        self.first_bad = torch.zeros((), device=device)
        self.terms: dict[str, Tensor] = {}
        self.totals: dict[str, float] = {}


@contextlib.contextmanager
def _prefetched(
    batches: Callable[[int], list[MicroBatch]], first: int, total: int
) -> Iterator[Callable[[int], list[MicroBatch]]]:
    """Yield a function that gives each step's micro-batches, made one step ahead in a thread, in order."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
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


def _peak_memory_mb() -> float:
    """Return the peak memory so far: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
