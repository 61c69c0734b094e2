"""Forward and backward of micro-batches: captured once for each shape and replayed, where shapes repeat; else plainly.

A CUDA graph launches a whole pass in one call. Its random numbers are torch's own, graph-safe: each replay draws from
the generator's seed and offset at that time, so that dropout stays a function of seed, step, process and micro-batch,
and is that of the plain pass. On a CPU the captured pass is a plain call between the same buffers.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from compactbio.errors import UserError
from compactbio.training.devices import drawing_apart, tensor_type
from compactbio.training.error_causes import lacks_memory
from compactbio.training.gradients import Gradients
from compactbio.training.half_copies import HalfCopies
from compactbio.training.interface import MicroBatch, StepModule
from compactbio.training.processes import precision_of

# passes before a capture: libraries set themselves up, kernels are chosen, compiled and loaded, which a capture may not
WARM_UPS = 2
Pass = Callable[[], Tensor]


class MicroSteps:
    """Calls run forward and backward of a micro-batch: gradients add up, loss and terms are returned.

    Attributes:
        why_plain: why micro-batches of fixed shape are not captured; empty while they are.
    """

    def __init__(self, module: StepModule, gradients: Gradients, accelerator: Accelerator) -> None:
        self.module, self.gradients = module, gradients
        self.device, self.scaler = accelerator.device, accelerator.scaler
        self.dtype = tensor_type(precision_of(accelerator))
        half = self.dtype != torch.float32
        self.copies = HalfCopies(module.computing_modules(), self.dtype) if half else None
        self.recorder = CudaRecorder(self.device) if self.device.type == "cuda" else Recorder()
        self.recorded: dict[Hashable, Recorded] = {}
        self.why_plain = ""
        self.terms: list[str] = []
        self.factor = torch.ones((), device=self.device)
        self.shares: dict[str, Tensor] = {}  # the counts of a step on the device
        self.placed = False

    def begin(self, denominators: Mapping[str, float]) -> None:
        """Begin a step, whose sums are divided by these counts."""
        self.denominators = denominators
        self.placed = False
        if self.copies is not None:
            self.copies.refresh()
        if self.scaler is not None:
            self.factor.copy_(self.scaler.scale(torch.ones((), device=self.device)))

    def record(self, examples: Sequence[MicroBatch]) -> None:
        """Record the passes of micro-batches like these, the largest first: the others' memory is then its own.

        Gradients and random numbers stay as they were.
        """
        began = time.monotonic()
        missing = {key: one for one in examples if (key := _key(one.tensors)) not in self.recorded}
        if missing and not self.why_plain:
            self.begin(examples[0].counts)
            self._place()
            self._record(missing)
        if self.recorded:
            seconds = time.monotonic() - began
            logging.info("%d passes are %s, in %.1f s", len(self.recorded), self.recorder.what, seconds)

    def _place(self) -> None:
        """Put the step's counts where recorded passes read them, once a step."""
        if self.placed:
            return
        names = list(self.shares) or sorted(self.denominators)
        values = torch.tensor([self.denominators[name] for name in names], dtype=torch.float32)
        if not self.shares:
            self.static = values.to(self.device)
            self.shares = dict(zip(names, self.static.unbind(), strict=True))
        else:  # in place: recorded passes read them
            self.static.copy_(values.pin_memory() if self.device.type == "cuda" else values, non_blocking=True)
        self.placed = True

    def __call__(self, batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return this process's share of the loss and of each term, scalars on the device, which is not waited for."""
        values = self._values(batch)
        loss, *terms = values.unbind()
        return loss, dict(zip(self.terms, terms, strict=True))

    def _values(self, batch: MicroBatch) -> Tensor:
        """Return [loss, a term, ...] of a micro-batch."""
        if batch.fixed and not self.why_plain:
            self._place()
            key = _key(batch.tensors)
            if key not in self.recorded:
                self._record({key: batch})
            if key in self.recorded:
                return self.recorded[key](batch.tensors)
        return self._pass(_on(self.device, batch.tensors), self.denominators)

    def _pass(
        self, tensors: dict[str, Any], denominators: Mapping[str, float | Tensor], *, keep_casts: bool = True
    ) -> Tensor:
        """Run forward and backward; return [loss, a term, ...].

        Args:
            keep_casts: autocast may use once more what it has converted; a graph would not see where it comes from.
        """
        half = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype if half else None, enabled=half, cache_enabled=keep_casts):
            loss = self.module(tensors, denominators)
        self.gradients.add_of(loss if self.scaler is None else loss * self.factor)
        self.terms = list(self.module.last_terms)
        return torch.stack([loss.detach().float(), *(share.float() for share in self.module.last_terms.values())])

    def _record(self, batches: Mapping[Hashable, MicroBatch]) -> None:
        """Capture the passes of micro-batches like these, by key, or note why that is not possible.

        All are warmed up before the first is captured: a capture's memory is its own, and a warm-up beside it would
        need as much again. Behind the first warm-up gradients are in their buffer: the second one adds to them by the
        kernels that are captured.
        """
        passes = {key: self._between_buffers(batch) for key, batch in batches.items()}
        before = self.gradients.kept()
        try:
            with drawing_apart(self.device):
                for _ in range(WARM_UPS):
                    for _, run in passes.values():
                        self.recorder.warm_up(run)
                    self.gradients.flatten()
                self.gradients.restore(before)
                for key, (inputs, run) in passes.items():
                    self.recorded[key] = Recorded(inputs, self.recorder.record(run))
        except RuntimeError as error:
            if lacks_memory(error):
                raise
            if torch.are_deterministic_algorithms_enabled() and "deterministic" in str(error):
                raise UserError(f"deterministic: true: {error}; set it to false in the configuration") from error
            first = error.__context__ or error  # a capture that was broken off says so besides
            self.why_plain = str(first).strip().split("\n")[0][:300]
            self.recorded.clear()
            self.gradients.restore(before)
            logging.warning("micro-batches are not captured, which is slower: %s", self.why_plain)

    def _between_buffers(self, batch: MicroBatch) -> tuple[dict[str, Any], Pass]:
        """Return buffers with a micro-batch's values, and the pass that reads them."""
        inputs = {
            name: value.to(self.device, copy=True) if isinstance(value, Tensor) else value
            for name, value in batch.tensors.items()
        }
        return inputs, lambda: self._pass(inputs, self.shares, keep_casts=False)


class Recorded:
    """The pass of micro-batches of one shape, between buffers of its own."""

    def __init__(self, inputs: dict[str, Any], replay: Pass) -> None:
        self.inputs = {name: value for name, value in inputs.items() if isinstance(value, Tensor)}
        self.replay = replay

    def __call__(self, tensors: dict[str, Any]) -> Tensor:
        """Run it for a micro-batch's tensors; return [loss, a term, ...], which the next call leaves alone."""
        for name, buffer in self.inputs.items():
            buffer.copy_(tensors[name], non_blocking=True)
        return self.replay().clone()


class Recorder:
    """What a CPU does in place of capturing: it calls the pass again."""

    what = "called between fixed buffers"

    def warm_up(self, run: Pass) -> None:
        """Run a pass as a capture will."""
        run()

    def record(self, run: Pass) -> Pass:
        """Return what repeats a pass."""
        return run


class CudaRecorder(Recorder):
    """Captures passes as CUDA graphs, which share their memory: one runs at a time."""

    what = "captured as a CUDA graph"

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    def warm_up(self, run: Pass) -> None:
        """Run a pass on the stream of the capture."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            run()
        current.wait_stream(self.stream)

    def record(self, run: Pass) -> Pass:
        """Return the replay of a pass.

        Raises:
            RuntimeError: it cannot be captured; random numbers are then drawn as before.
        """
        index = torch.cuda.current_device() if self.device.index is None else self.device.index
        generator = torch.cuda.default_generators[index]
        healthy = generator.clone_state()
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device)
        try:
            # thread_local: the thread that makes the next batch may ask for pinned memory meanwhile
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
                values = run()
        except RuntimeError:
            with contextlib.suppress(AttributeError, RuntimeError):  # a later torch than 2.11 has done it
                torch._C._cuda_endAllocateToPool(index, self.pool)  # else memory passes for a capture's from now on
            torch.cuda.set_stream(current)  # which a capture that fails at its end leaves
            generator.graphsafe_set_state(healthy)  # its own still waits for the end of the capture
            torch.cuda.synchronize(self.device)
            raise

        def replay() -> Tensor:
            graph.replay()
            return values

        return replay


def _on(device: torch.device, tensors: dict[str, Any]) -> dict[str, Any]:
    """Return a micro-batch's tensors on a device; what is no tensor stays."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in tensors.items()
    }


def _key(tensors: dict[str, Any]) -> Hashable:
    """Return what micro-batches have in common whose passes are alike."""
    return tuple(
        (name, (value.shape, value.dtype) if isinstance(value, Tensor) else value)
        for name, value in sorted(tensors.items())
    )
