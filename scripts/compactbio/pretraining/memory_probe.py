"""How many positions a micro-batch may have, found by a few passes at the start of a training."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from accelerate import Accelerator

from compactbio.pretraining.distillation import Distillation
from compactbio.training.capture import MicroSteps
from compactbio.training.devices import drawing_apart
from compactbio.training.error_causes import lacks_memory
from compactbio.training.gradients import Gradients
from compactbio.training.interface import MicroBatch

SHARE = 0.85  # of the memory that is free; the rest is for what breaks it into pieces
UPDATE = 3  # times the trained weights: two moments and what an update holds besides
SEQUENCES = 16  # of full length, in the first pass
SMALLER = 0.85  # times as many positions, where a trial ran out of memory


def fitting_positions(peak_of: Callable[[int], float], *, smallest: int, largest: int, budget: float) -> int:
    """Return how many positions fit, at most `largest`.

    Two small passes give what a position takes; a pass of the size that follows from it has to hold.

    Args:
        peak_of: returns the peak memory of a pass of so many positions, in bytes.
        smallest: positions of the first pass.
        budget: bytes.

    Raises:
        RuntimeError: the first pass does not fit (see `lacks_memory`).
    """
    small = min(smallest, largest)
    twice = min(2 * small, largest)
    low = peak_of(small)
    if twice == small:
        return small
    high = _peak_or_none(peak_of, twice)
    if high is None or high > budget:
        return small
    a_position = max((high - low) / (twice - small), 1.0)
    fits = min(int(twice + (budget - high) / a_position), largest)
    while fits > twice:
        peak = _peak_or_none(peak_of, fits)
        if peak is not None and peak <= budget:
            return fits
        fits = int(SMALLER * fits)
    return twice


def _peak_or_none(peak_of: Callable[[int], float], positions: int) -> float | None:
    """Return the peak memory of a pass, None where it ran out of memory."""
    try:
        return peak_of(positions)
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
    torch.cuda.empty_cache()  # only here: until then the error's traceback holds the tensors of the pass
    return None


def probe_positions(
    make: Callable[[int], MicroBatch], module: Distillation, accelerator: Accelerator, *, max_length: int, largest: int
) -> int:
    """Return how many positions a GPU's memory takes, the least of all processes; weights and gradients stay.

    Args:
        make: returns a full micro-batch of so many positions.
        largest: no more are of use.
    """
    device = accelerator.device
    parameters = [value for value in module.parameters() if value.requires_grad]
    gradients = Gradients(parameters)
    module.to(device).train()
    steps = MicroSteps(module, gradients, accelerator)

    def peak_of(positions: int) -> float:
        torch.cuda.reset_peak_memory_stats(device)
        batch = make(positions)
        batch.fixed = False  # once is not worth a capture
        try:
            with drawing_apart(device):
                steps.begin(dict.fromkeys(batch.counts, 1.0))
                steps(batch)
            torch.cuda.synchronize(device)
        finally:
            gradients.clear()
        return float(torch.cuda.max_memory_allocated(device))

    weights = sum(value.numel() * value.element_size() for value in parameters)
    free, _ = torch.cuda.mem_get_info(device)
    budget = SHARE * (free + torch.cuda.memory_reserved(device)) - UPDATE * weights
    fits = fitting_positions(peak_of, smallest=SEQUENCES * max_length, largest=largest, budget=budget)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)  # the training's own is what its metrics show
    agreed = int(accelerator.gather(torch.tensor([fits], device=device)).min())
    logging.info(
        "micro_batch_tokens: %d positions fit into %.1f GB (at most %d are of use)", agreed, free / 1e9, largest
    )
    return agreed
