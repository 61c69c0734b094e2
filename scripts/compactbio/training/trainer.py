"""The moving parts of a training: resuming, a step, a line of metrics, a checkpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

from compactbio.training.capture import MicroSteps
from compactbio.training.checkpoints import CheckpointFolder, OptimizerStates, TrainingState
from compactbio.training.devices import device_peak, peak_memory_mb
from compactbio.training.divergence import LossError, LossWatch
from compactbio.training.gradients import Gradients, share_weights
from compactbio.training.interface import LoopSettings, MicroBatch, StepModule
from compactbio.training.interval import Gathered, LossSums, Stopwatch
from compactbio.training.optimizers import set_learning_rates
from compactbio.training.pace import Pace
from compactbio.training.processes import Agreement, precision_of
from compactbio.training.progress import MetricsLine, MetricsLog, read_metrics

WHAT_TO_TRY = (
    "Lower the learning rate (pretraining: optimisation.peak_learning_rate; finetuning: learning_rate), lengthen the "
    "warm-up (warmup_steps, warmup_fraction) or use precision: fp32 in the configuration"
)


@dataclass
class Trainer:
    """The state of one call of `loop.run_training`, where the order of what happens is."""

    plain: StepModule
    optimizer: torch.optim.Optimizer
    settings: LoopSettings
    checkpoints: CheckpointFolder
    metrics: MetricsLog
    accelerator: Accelerator

    def __post_init__(self) -> None:
        self.agreement = Agreement(self.accelerator)
        self.sums = LossSums(self.accelerator)
        self.parameters = [value for value in self.plain.parameters() if value.requires_grad]
        self.gradients = Gradients(self.parameters)
        self.rates = Stopwatch(time.monotonic())
        self.watch = LossWatch()
        self.pace = Pace(self.accelerator.device)
        peak = device_peak(self.accelerator.device, precision_of(self.accelerator))
        self.peak_flops = None if peak is None else peak * self.accelerator.num_processes
        self.save_seconds = 0.0
        self.step_seconds = 0.0
        self.asked_at: float | None = None
        self.saved_step = 0

    def resume(self, examples: Sequence[MicroBatch] = ()) -> int:
        """Load the newest sound checkpoint, place the module on the device, return the finished steps.

        Args:
            examples: micro-batches whose passes are recorded at once (see `capture.MicroSteps.record`).
        """
        chosen: list[Any] = [None, []]  # a checkpoint and the lines of metrics
        if self.accelerator.is_main_process:
            self.checkpoints.clear_up()
            chosen = [self.checkpoints.latest(), read_metrics(self.metrics.path)]
        self.agreement.wait()  # the broadcast gives up after ten minutes
        broadcast_object_list(chosen)  # one process decides: a shared disk may show the others less
        checkpoint: Path | None = chosen[0]
        step = 0
        states: OptimizerStates | None = None
        extra: dict[str, Any] = {}
        self.began = time.monotonic()
        if checkpoint is not None:
            step, states, extra = self.checkpoints.restore(checkpoint, self.plain)
            logging.info("resuming from %s", checkpoint)
        if extra.get("interval"):
            self.sums.restore(Gathered(**extra["interval"]))
        for line in chosen[1]:
            if "loss" in line and line["step"] <= step:
                self.watch.add(line["step"], line["loss"])
        self.plain.to(self.accelerator.device)
        if self.accelerator.num_processes > 1:
            share_weights(self.plain)
        self.prepared_optimizer = self.accelerator.prepare(self.optimizer)
        if states is not None:
            self.optimizer.load_state_dict(states["optimizer"])
            if states["scaler"] and self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(states["scaler"])
        self.seconds_before = self.checkpoints.seconds() if step else 0.0
        self.saved_step = step
        self.plain.train()
        self.micro_steps = MicroSteps(self.plain, self.gradients, self.accelerator)
        self.micro_steps.record(examples)
        self.metrics.start(done_steps=step, total_steps=self.settings.total_steps)
        self.saved_at = time.monotonic()
        self.rates.clear(self.saved_at)
        return step

    def agree(self, micro_batches: list[MicroBatch]) -> tuple[dict[str, float], bool, str]:
        """Return what all processes share before a step: denominators, whether to save after it, why to leave."""
        if not micro_batches:
            raise RuntimeError("a process has no micro-batch: the global batch is smaller than the number of processes")
        self.pace.keep()
        names = sorted(micro_batches[0].counts)
        counts = [sum(batch.counts[name] for batch in micro_batches) for name in names]
        now = time.monotonic()
        settings = self.settings
        if self.asked_at is not None:
            self.step_seconds = max(0.9 * self.step_seconds, now - self.asked_at)
        self.asked_at = now
        reserve = 1.5 * self.save_seconds + 2.0 * self.step_seconds
        late = settings.deadline is not None and now + reserve >= settings.deadline
        stopped = settings.stop is not None and settings.stop.reason is not None
        minutes = settings.checkpoint_every_minutes
        due = minutes is not None and now - self.saved_at >= 60.0 * minutes
        main = self.accelerator.is_main_process
        *sums, late_sum, stopped_sum, due_sum = self.agreement.sums(
            [*counts, float(late), float(stopped), float(due and main)]
        )
        # a term that nothing in the whole batch contributes to is zero, not zero divided by zero
        denominators = {name: total or 1.0 for name, total in zip(names, sums, strict=True)}
        self.rates.add_counts(dict(zip(names, sums, strict=True)))
        leave = "deadline" if late_sum else "signal" if stopped_sum else ""
        return denominators, bool(due_sum), leave

    def take_step(
        self,
        step: int,
        micro_batches: list[MicroBatch],
        denominators: dict[str, float],
        learning_rate: float,
    ) -> Tensor:
        """Run forward and backward over the micro-batches, update the weights; the device is not waited for.

        Returns:
            This process's share of the loss, a scalar on the device.
        """
        set_learning_rates(self.optimizer, learning_rate)
        step_loss = torch.zeros((), device=self.accelerator.device)
        self.micro_steps.begin(denominators)
        for batch in micro_batches:
            loss, terms = self.micro_steps(batch)
            step_loss += loss
            self.sums.add_terms(terms)
        if self.accelerator.num_processes > 1:
            self.gradients.sum_over_processes()
        self.accelerator.unscale_gradients(self.prepared_optimizer)
        limit = self.settings.max_gradient_norm
        norm = self.gradients.clip(float("inf") if limit is None else limit)
        # accelerate's own step is needed for loss scaling only; without it, it would spend time on checks
        (self.optimizer if self.accelerator.scaler is None else self.prepared_optimizer).step()
        self.gradients.clear()
        finite = torch.isfinite(step_loss)
        if self.accelerator.scaler is None:  # with loss scaling, gradients overflow at times and the update is skipped
            finite &= torch.isfinite(norm)
        self.sums.add_step(step, step_loss, finite)
        self.gradient_norm = norm
        self.rates.steps += 1
        self.pace.mark()
        self.metrics.advance()
        return step_loss

    def log(self, step: int, learning_rate: float) -> None:
        """Write a line of metrics, means over the steps since the line before; stop a loss that diverges."""
        gathered = self._gather_finite(step)
        assert gathered is not None  # a step was taken
        rates = self.rates.read(
            time.monotonic(), steps_left=self.settings.total_steps - step, peak_flops=self.peak_flops
        )
        line: MetricsLine = {
            "step": step,
            "total_steps": self.settings.total_steps,
            "loss": gathered.loss,
            "terms": gathered.terms,
            "learning_rate": learning_rate,
            "gradient_norm": float(self.gradient_norm),
            **rates,
            "peak_memory_mb": peak_memory_mb(),
        }
        self.metrics.write(line)
        self.sums.clear()
        self.rates.clear(time.monotonic())
        self.watch.add(step, gathered.loss)
        if self.watch.diverged:
            raise LossError(
                f"the loss diverges: it is high since step {self.watch.high_since} and {gathered.loss:.4g} at step "
                f"{step}; {self.watch.in_words()}; {self.checkpoints.last_good_in_words()}. {WHAT_TO_TRY}"
            )

    def evaluate(self, step: int, evaluate: Callable[[int], dict[str, Any]]) -> None:
        """Write the result of an evaluation and go back to training; its time is no part of the rate."""
        self.pace.finish()  # time of training
        began = time.monotonic()
        self.metrics.write({"step": step, "evaluation": evaluate(step)})
        self.plain.train()
        self.rates.leave_out(time.monotonic() - began)

    def save(self, step: int) -> None:
        """Save a checkpoint, unless the numbers since the last one are not finite or the loss looks diverged.

        The last good checkpoint must not give way to a state that may be unusable: `saved_step` then stays behind. The
        last step is saved all the same: a loss that was high for so short a time has not diverged.
        """
        asked = time.monotonic()
        self.pace.finish()  # time of training, but of a save as well where it has to end before a deadline
        began = time.monotonic()
        gathered = self._gather_finite(step)
        steps, loss = (0, 0.0) if gathered is None else (gathered.steps, gathered.loss)
        if step < self.settings.total_steps and self.watch.is_suspicious(steps, loss):
            logging.warning("no checkpoint at step %d, where the loss is high: %s", step, self.watch.in_words())
            self.saved_at = time.monotonic()  # asked again when the next one is due, not after every step
            return
        if self.accelerator.is_main_process:
            extra = {"interval": None if gathered is None else asdict(gathered)}
            self.checkpoints.save(step, self.plain, self.optimizer, extra, scaler=self.accelerator.scaler)
        self.write_state(step, "running")
        self.agreement.wait()  # for the main process
        self.saved_step = step
        self.saved_at = time.monotonic()
        self.save_seconds = max(self.save_seconds, self.saved_at - asked)
        self.rates.leave_out(self.saved_at - began)

    def write_state(self, step: int, reason: str) -> None:
        """Write state.json (main process)."""
        if self.accelerator.is_main_process:
            total = self.settings.total_steps
            state: TrainingState = {"step": step, "total_steps": total, "finished": step == total, "reason": reason}
            state["seconds"] = round(self.seconds_before + time.monotonic() - self.began, 3)
            state.update(self.settings.state_facts)
            self.checkpoints.write_state(state)

    def release(self) -> None:
        """Let go of what accelerate would keep for the life of the process."""
        self.accelerator.free_memory()

    def _gather_finite(self, step: int) -> Gathered | None:
        """Return the sums since the last line, None without a step; raise if one was not finite in any process."""
        gathered = self.sums.gather()
        if gathered is not None and gathered.first_bad_step:
            raise LossError(
                f"the loss or its gradient is not a finite number at step {gathered.first_bad_step} "
                f"(seen at step {step}): {self.checkpoints.last_good_in_words()}. {WHAT_TO_TRY}"
            )
        return gathered
