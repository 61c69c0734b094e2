"""Steps of the two formulations in turn, each in a process of its own, and the table of what they took."""

from __future__ import annotations

import csv
import logging
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compactbio.benchmarks.cases import Case
from compactbio.benchmarks.random_tokens import write_store
from compactbio.corpus.tokens import TokenStore
from compactbio.errors import UserError
from compactbio.provenance import hardware

if TYPE_CHECKING:
    from compactbio.benchmarks.steps import Measurement

COLUMNS = (
    *("hardware", "case", "precision", "dropout", "reference_seconds", "ours_seconds", "ratio"),
    *("reference_peak_mb", "ours_peak_mb", "loss_difference"),
)
# precision of a row: what ours runs in, and what the reference does
PRECISIONS = {"fp32": ("fp32", "fp32"), "bf16": ("bf16", "fp32"), "bf16_both": ("bf16", "bf16")}
_made: dict[str, Callable[[int], Measurement]] = {}  # of a worker's process, by `take`


@dataclass(frozen=True)
class Settings:
    """How steps are measured: the batch of one device, and rounds of one step of each formulation."""

    batch_size: int = 24
    rounds: int = 3
    warmup: int = 1
    threads: int = 2
    micro_batch_tokens: int | None = None


def measure_case(
    case: Case, lengths: np.ndarray, dropout: float, precisions: list[str], settings: Settings
) -> Iterator[dict[str, Any]]:
    """Yield a row of `COLUMNS` (without hardware and case) for each precision, all measured side by side.

    A formulation runs in a process of its own, so that its peak memory is its own; they take their steps in turn,
    so that what else the machine does meets both.
    """
    ours = sorted({PRECISIONS[name][0] for name in precisions})
    theirs = sorted({PRECISIONS[name][1] for name in precisions})
    sides = [("reference", precision) for precision in theirs] + [("ours", precision) for precision in ours]
    taken: dict[tuple[str, str], list[Measurement]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        write_store(Path(folder), lengths, case.vocabulary)
        work = (case, Path(folder), dropout, settings)
        workers = {side: stack.enter_context(_worker(*side, *work)) for side in sides}
        for step in range(1, settings.warmup + settings.rounds + 1):
            for side, worker in workers.items():
                taken[side].append(worker(step))
            logging.info("step %d: %s", step, {"/".join(side): round(taken[side][-1].seconds, 3) for side in sides})
    for name in precisions:
        our_precision, their_precision = PRECISIONS[name]
        yield _row(name, dropout, taken["reference", their_precision], taken["ours", our_precision], settings.warmup)


def append_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Append rows to a table with a header, made if it is not there.

    Raises:
        UserError: the file is there and has other columns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.is_file()
    if not new:
        with path.open(encoding="utf-8", newline="") as stream:
            header = next(csv.reader(stream, delimiter="\t"), [])
        if rows and header != list(rows[0]):
            raise UserError(f"{path} has the columns {header}, not {list(rows[0])}: move it away")
    with path.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def _row(
    precision: str, dropout: float, reference: list[Measurement], ours: list[Measurement], warmup: int
) -> dict[str, Any]:
    """Return a row: medians after the warm-up, peaks, and the relative difference of the first loss."""
    theirs_seconds, our_seconds = (
        statistics.median(one.seconds for one in taken[warmup:]) for taken in (reference, ours)
    )
    difference = abs(ours[0].loss - reference[0].loss) / abs(reference[0].loss)
    return {
        "precision": precision,
        "dropout": dropout,
        "reference_seconds": f"{theirs_seconds:.4f}",
        "ours_seconds": f"{our_seconds:.4f}",
        "ratio": f"{theirs_seconds / our_seconds:.2f}",
        "reference_peak_mb": round(max(one.peak_mb for one in reference)),
        "ours_peak_mb": round(max(one.peak_mb for one in ours)),
        # with dropout the two draw other numbers: their losses differ and say nothing
        "loss_difference": f"{difference:.1e}" if dropout == 0 else "-",
    }


@contextmanager
def _worker(*work: Any) -> Iterator[Callable[[int], Measurement]]:
    """Yield a function that takes a step of `_make_step` in a process of its own and returns its measurement."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:

        def take(step: int) -> Measurement:
            side, precision, *_ = work
            try:
                return pool.submit(_take_step, work, step).result()
            except BrokenProcessPool:
                raise UserError(f"the process of {side} in {precision} died: is there too little memory?") from None
            except Exception as error:  # whatever it was, it ends the program
                raise UserError(f"{side} in {precision}: {type(error).__name__}: {error}") from error

        yield take


def _take_step(work: tuple[Any, ...], step: int) -> Measurement:
    """Take a step in the process of a worker, which makes models and data once."""
    if "take" not in _made:
        _made["take"] = _make_step(*work)
    return _made["take"](step)


def _make_step(
    side: str, precision: str, case: Case, store: Path, dropout: float, settings: Settings
) -> Callable[[int], Measurement]:
    """Return the function that takes a step of a side."""
    import torch

    from compactbio.benchmarks.steps import OurStep, reference_step

    torch.set_num_threads(settings.threads)
    common = (case, TokenStore([store]), settings.batch_size, dropout, precision)
    return OurStep(*common, settings.micro_batch_tokens) if side == "ours" else reference_step(*common)


def hardware_name(threads: int) -> str:
    """Return the GPU's name, or the CPU's with the number of threads."""
    import torch

    found = hardware()
    return found["gpus"][0] if torch.cuda.is_available() else f"{found['processor']}, {threads} threads"
