"""Counts what a step of a case of the benchmark launches and moves, at full size, on a pretended GPU.

For a program of its own, which has called `pretended_gpu.install` before this is imported.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from compactbio.benchmarks import cases, steps
from compactbio.benchmarks.random_tokens import MAX_LENGTH, SEED, draw_lengths, write_store
from compactbio.training.capture import _key
from helpers import pretended_steps
from helpers.launches import Counting, Launch
from helpers.pretended_gpu import STATE, pretended_gpu

BATCH, DROPOUT = 192, 0.1  # the paper's
STEPS = 9  # of which the one with the median number of positions is counted


@dataclass(frozen=True)
class CountedStep:
    """What a step launches: in the passes of its micro-batches, and besides, for the update above all.

    Attributes:
        form: of the micro-batches.
        positions: of each micro-batch, fill included.
    """

    form: str
    positions: list[int]
    passes: Counter[Launch]
    besides: Counter[Launch]


def prepare() -> None:
    """Have the steps of this process run on the pretended GPU, with models of their true size."""
    pretended_steps.prepare(cases.build_models)


def count_step(name: str, precision: str, folder: Path) -> CountedStep:
    """Count a typical step of a case.

    Args:
        folder: for the step's tokens.

    Raises:
        RuntimeError: its passes cannot be captured.
    """
    pretended_steps.forget()
    case = cases.CASES[name]
    store = write_store(folder / name, draw_lengths(STEPS * BATCH, SEED), case.vocabulary)
    counting = Counting(lambda: STATE.captures if STATE.capturing else None)
    with pretended_gpu(), counting:
        one = steps.OurStep(case, store, BATCH, DROPOUT, precision, BATCH * MAX_LENGTH)
        drawn = [one.batches(step) for step in range(1, STEPS + 1)]
        made = sorted(drawn, key=lambda batches: sum(_positions(batch) for batch in batches))[STEPS // 2]
        denominators = one.trainer.agree(made)[0]
        for step in (1, 2):  # the optimizer makes its state in the first
            counting.sections.pop(None, None)
            one.trainer.take_step(step, made, denominators, steps.LEARNING_RATE)
    if one.trainer.micro_steps.why_plain:
        raise RuntimeError(f"{name} is not captured: {one.trainer.micro_steps.why_plain}")
    for capture, program, moved in STATE.launched:
        counting.sections[capture][Launch(f"triton {program}", moved, 0)] += 1
    captured = list(one.trainer.micro_steps.recorded)
    passes: Counter[Launch] = Counter()
    for batch in made:
        passes.update(counting.sections[captured.index(_key(batch.tensors)) + 1])
    return CountedStep(one.in_words(), [_positions(batch) for batch in made], passes, counting.sections[None])


def _positions(batch) -> int:
    return batch.tensors["input_ids"].numel()
