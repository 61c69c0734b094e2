"""One training step of a case, ours and the reference's, on the same sequences, masks and weights."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from compactbio.architectures import beyond_fp16
from compactbio.benchmarks import reference
from compactbio.benchmarks.cases import Case, build_models
from compactbio.benchmarks.random_tokens import MAX_LENGTH, SEED
from compactbio.corpus.tokens import TokenStore
from compactbio.pretraining.distillation import Distillation
from compactbio.pretraining.layout import batches_of
from compactbio.pretraining.masking import Masking
from compactbio.pretraining.sampling import GlobalOrder
from compactbio.terms.objective import read_objective
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.devices import TYPES, peak_memory_mb
from compactbio.training.interface import LoopSettings
from compactbio.training.optimizer_settings import OptimizerSettings
from compactbio.training.optimizers import build_optimizer
from compactbio.training.processes import start_accelerator
from compactbio.training.progress import MetricsLog
from compactbio.training.trainer import Trainer

LEARNING_RATE, WEIGHT_DECAY, MASKED_FRACTION = 1e-4, 0.01, 0.15


@dataclass(frozen=True)
class Measurement:
    """What one step took.

    Attributes:
        seconds: until the device was done.
        loss: of the step.
        peak_mb: peak memory while it ran, of the GPU where there is one.
        host_seconds: until the host had launched everything.
        flops: that the model needs for it, where they are counted.
    """

    seconds: float
    loss: float
    peak_mb: float
    host_seconds: float
    flops: float = 0.0


def masking_of(store: TokenStore, batch_size: int) -> Masking:
    """Return the masking that both sides use."""
    return Masking(
        fraction=MASKED_FRACTION,
        vocabulary_size=store.vocabulary_size,
        unused_ids=store.unused_ids,
        special_ids=store.special_ids,
        batch_size=batch_size,
        max_length=MAX_LENGTH,
        seed=SEED,
    )


class OurStep:
    """Calls take a step (from 1) as pretrain_model does.

    Args:
        micro_batch_tokens: positions of a micro-batch at most; None: as many as memory takes.
    """

    def __init__(
        self,
        case: Case,
        store: TokenStore,
        batch_size: int,
        dropout: float,
        precision: str,
        micro_batch_tokens: int | None,
    ) -> None:
        student, teacher = build_models(case, dropout, SEED)
        objective = read_objective(case.objective, case.quirks)
        self.module = Distillation(student, teacher, objective, case.quirks, max_length=MAX_LENGTH, seed=SEED)
        accelerator = start_accelerator(precision, beyond_fp16(student.config.to_dict()))  # teachers are BERT
        self.module.place_teacher(accelerator.device)
        masking = masking_of(store, batch_size)
        self.batches = batches_of(store, masking, self.module, accelerator, micro_batch_tokens)
        optimizer = build_optimizer(self.module, OptimizerSettings(WEIGHT_DECAY))
        nowhere = Path("nowhere")  # nothing is saved
        self.trainer = Trainer(
            self.module,
            optimizer,
            LoopSettings(total_steps=1 << 30),
            CheckpointFolder(nowhere),
            MetricsLog(nowhere, writes=False),
            accelerator,
        )
        self.trainer.resume(self.batches.examples())

    def __call__(self, step: int) -> Measurement:
        """Return what a step took."""
        made = self.batches(step)
        denominators, _, _ = self.trainer.agree(made)

        def once() -> Tensor:
            return self.trainer.take_step(step, made, denominators, LEARNING_RATE)

        taken = measured(once, self.trainer.accelerator.device)
        return replace(taken, flops=sum(batch.counts["flops"] for batch in made))

    def in_words(self) -> str:
        """Return the form of the micro-batches, and whether their passes are captured."""
        steps, record = self.trainer.micro_steps, self.batches.record()
        captured = f"not captured: {steps.why_plain}" if steps.why_plain else f"{len(steps.recorded)} captured"
        kernels = {
            "maps on the chip": self.module.map_kernels,
            "logits by kernels": self.module.logit_kernels,
            "blocks fused": self.module.fused_blocks,
        }
        used = "".join(f", {name}" for name, taken in kernels.items() if taken)
        return f"{record['layout']} {record.get('kernel', '')} {record['tokens']} tokens, {captured}{used}"


def reference_step(
    case: Case, store: TokenStore, batch_size: int, dropout: float, precision: str
) -> Callable[[int], Measurement]:
    """Return the function that takes the same step as the reference code formulates it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    student, teacher = build_models(case, dropout, SEED)
    module = nn.ModuleDict({"student": student})
    arguments: list[Any] = []
    if teacher is not None and case.formula in ("tiny", "tiny_sound"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            module["projection"] = nn.Linear(student.config.hidden_size, teacher.config.hidden_size)
        arguments = [module["projection"]]
    module.to(device).train()
    if teacher is not None:
        nn.Module.to(teacher, device).requires_grad_(False).train()
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, foreach=False, fused=False
    )
    order, masking = GlobalOrder(len(store), batch_size, SEED), masking_of(store, batch_size)

    def loss_of(ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(device.type, TYPES.get(precision), enabled=precision in TYPES):
            ours = reference.run(student, ids, mask, everything=case.teacher)
            if teacher is None or case.formula is None:
                return reference.mlm(ours, labels)
            with torch.no_grad():
                theirs = reference.run(teacher, ids, mask)
            return getattr(reference, case.formula)(ours, theirs, labels, mask, *arguments)

    def take(step: int) -> Measurement:
        ids, mask, labels = (
            tensor.to(device) for tensor in padded_step(store, masking, order.batch(step), step, batch_size)
        )

        def once() -> Tensor:
            loss = loss_of(ids, mask, labels)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return loss.detach()

        return measured(once, device)

    return take


def padded_step(
    store: TokenStore, masking: Masking, sequences: np.ndarray, step: int, batch_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, mask and labels of a step's sequences in their random order, padded to the longest."""
    joined, lengths = store.gather_joined(sequences)
    masked = masking.apply(step, np.arange(batch_size), lengths, joined)
    cut, longest = np.cumsum(lengths)[:-1], int(lengths.max())
    labels = np.where(masked.selected, joined.astype(np.int64), -100)
    ids, mask = reference.padded_batch(np.split(masked.inputs, cut), longest)
    targets, _ = reference.padded_batch(np.split(labels, cut), longest)
    return ids, mask, targets.masked_fill(mask == 0, -100)


def measured(once: Callable[[], Tensor], device: torch.device) -> Measurement:
    """Return what a call took, waiting for the device before and after; the peak is reset before it.

    On a GPU the peak is what the process holds of its memory: what captured passes keep is no allocation of theirs.
    Without one it is that of the process with its weights, on other systems than Linux since its start.
    """
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    started = time.perf_counter()
    loss = once()
    host_seconds = time.perf_counter() - started
    if on_gpu:
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status")
    if not on_gpu and status.is_file():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return Measurement(seconds, float(loss), int(line.split()[1]) * 1024 / 1e6, host_seconds)
    held = torch.cuda.max_memory_reserved(device) / 1e6 if on_gpu else peak_memory_mb()
    return Measurement(seconds, float(loss), held, host_seconds)
