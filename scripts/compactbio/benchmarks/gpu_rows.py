"""Steps of all cases on one GPU, ours and the reference's, one after the other in one process, as time allows."""

from __future__ import annotations

import contextlib
import csv
import gc
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState

from compactbio.benchmarks.cases import CASES, Case
from compactbio.benchmarks.random_tokens import SEED, draw_lengths, write_store
from compactbio.benchmarks.steps import Measurement, OurStep, reference_step
from compactbio.corpus.tokens import TokenStore
from compactbio.errors import UserError
from compactbio.files import read_yaml
from compactbio.kernels.choice import SWITCH
from compactbio.training.devices import known_peak

COLUMNS = (
    *("hardware", "torch", "case", "side", "dropout", "precision", "batch", "ms", "host_ms", "sequences_per_second"),
    *("mfu_percent", "peak_mb", "start_seconds", "loss", "form"),
)
OURS, REFERENCE = "ours", "reference"
PLAIN = "ours without Triton"  # operation by operation where kernels in Triton would be
WITHOUT_TRITON = ("distil", "mlm_4l_312", "mlm_mobilebert")  # what the kernels gain, from the widest to the thinnest
WARM_UPS, ROUNDS = 3, 5
STEPS_OF_TEXTS = 8  # global batches in the store
# the case that a model of the paper is trained like
MODELS = {
    "DistilBioBERT": "distil",
    "CompactBioBERT": "compact",
    "TinyBioBERT": "tiny",
    "BioDistilBERT-cased": "mlm_6l_768",
    "BioDistilBERT-uncased": "mlm_6l_768",
    "BioTinyBERT": "mlm_4l_312",
    "BioMobileBERT": "mlm_mobilebert",
}


@dataclass(frozen=True)
class Row:
    """What is measured for one line of the table."""

    case: str
    side: str
    precision: str
    dropout: float = 0.1


def planned_rows(half: str) -> list[Row]:
    """Return all rows, the more important ones first, as the time may be over before the last."""
    of_teachers = [name for name, case in CASES.items() if case.formula != "tiny_sound"]
    return [
        *(Row(name, OURS, half) for name in CASES),
        *(Row(name, REFERENCE, half) for name in of_teachers),
        *(Row(name, PLAIN, half) for name in WITHOUT_TRITON),
        *(Row(name, OURS, "fp32") for name in of_teachers),
        *(Row(name, OURS, "tf32") for name in of_teachers),
        *(Row(name, REFERENCE, "fp32") for name in of_teachers),
        *(Row(name, OURS, half, dropout=0.0) for name in of_teachers),
    ]


@dataclass(frozen=True)
class Scale:
    """How large a step is, and how many are taken.

    Attributes:
        batch: sequences of a global batch of ours; 192 is the paper's.
        reference_batch: of the reference, which keeps its maps and logits of all positions.
    """

    batch: int = 192
    reference_batch: int = 48
    rounds: int = ROUNDS


def measure_rows(
    rows: list[Row], cases: Mapping[str, Case], scale: Scale, hardware: str, *, deadline: float
) -> Generator[dict[str, Any], None, None]:
    """Yield a row of `COLUMNS` for each, until the deadline (a value of `time.monotonic()`) would be missed.

    A row that fails says so in its last column: one lack of memory does not cost the rest.
    """
    flops: dict[str, float] = {}  # of a sequence on average, by case
    longest = 0.0
    with tempfile.TemporaryDirectory() as name:
        for number, row in enumerate(rows):
            began = time.monotonic()
            if began + longest > deadline:
                left = ", ".join(f"{one.case} {one.side} {one.precision}" for one in rows[number:])
                logging.warning("no time for %d rows: %s", len(rows) - number, left)
                return
            batch = scale.reference_batch if row.side == REFERENCE else scale.batch
            line: dict[str, Any] = {
                "hardware": hardware,
                "torch": torch.__version__,
                "case": row.case,
                "side": row.side,
            }
            line |= {"dropout": row.dropout, "precision": row.precision, "batch": batch}
            try:
                line |= _measured(row, cases[row.case], scale, Path(name) / f"{row.case}-{batch}", batch, flops)
            except Exception as error:  # whatever a kernel or a driver does, the other rows are of use
                logging.warning("%s: %s", row, error)
                why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                line |= dict.fromkeys(COLUMNS[len(line) : -1], "-") | {"form": why[:200]}
            yield line
            if number:  # the first one starts the GPU and compiles what the others find: it says nothing of these
                longest = max(longest, time.monotonic() - began)


def is_lost() -> bool:
    """Return whether the GPU answers this process no more, as after an illegal access: only another one goes on."""
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def gpu_hours(lines: list[dict[str, Any]], half: str, config: Path) -> list[tuple[str, str]]:
    """Return (model, GPU-hours of its steps) by the rows of ours in half precision, and their sum.

    Args:
        config: of the paper, whose numbers of steps count.
    """
    seconds = {
        line["case"]: float(line["ms"]) / 1000
        for line in lines
        if (line["side"], line["precision"], line["dropout"]) == (OURS, half, 0.1) and line["ms"] != "-"
    }
    steps = {
        name: model["optimisation"]["steps"] for name, model in read_yaml(config)["models"].items() if name in MODELS
    }
    hours = {name: steps[name] * seconds[case] / 3600 for name, case in MODELS.items() if case in seconds}
    missing = [name for name in MODELS if name not in hours]
    total = f"{sum(hours.values()):.1f}" + (f" without {', '.join(missing)}" if missing else "")
    return [*((name, f"{value:.2f}") for name, value in hours.items()), ("all", total)]


def _measured(row: Row, case: Case, scale: Scale, folder: Path, batch: int, flops: dict[str, float]) -> dict[str, Any]:
    """Return what a row measures."""
    store = TokenStore([folder]) if folder.is_dir() else _store(folder, batch, case.vocabulary)
    _forget()
    began = time.perf_counter()
    common = (case, store, batch, row.dropout, row.precision)
    with _without_triton() if row.side == PLAIN else contextlib.nullcontext():
        take: Callable[[int], Measurement]
        take = reference_step(*common) if row.side == REFERENCE else OurStep(*common, None)
    first = take(1)
    started = time.perf_counter() - began
    for step in range(2, WARM_UPS + 1):
        take(step)
    taken = [take(WARM_UPS + number) for number in range(1, scale.rounds + 1)]
    seconds = statistics.median(one.seconds for one in taken)
    if row.side != REFERENCE:
        flops[row.case] = statistics.fmean(one.flops for one in taken) / batch
    peak = known_peak(torch.cuda.get_device_name(), row.precision) if torch.cuda.is_available() else None
    known = peak is not None and row.case in flops
    form = take.in_words() if isinstance(take, OurStep) else "padded, eager"
    del take
    return {
        "ms": f"{1000 * seconds:.1f}",
        "host_ms": f"{1000 * statistics.median(one.host_seconds for one in taken):.1f}",
        "sequences_per_second": round(batch / seconds),
        "mfu_percent": f"{100 * flops[row.case] * batch / seconds / peak:.1f}" if known and peak else "-",
        "peak_mb": round(max(one.peak_mb for one in taken)),
        "start_seconds": f"{started:.1f}",
        "loss": f"{first.loss:.4f}",
        "form": form,
    }


@contextlib.contextmanager
def _without_triton() -> Iterator[None]:
    """Have what is built inside take no kernel of Triton."""
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SWITCH]
        else:
            os.environ[SWITCH] = before


def _store(folder: Path, batch: int, vocabulary: int) -> TokenStore:
    """Return a store of random ids, lengths as PubMed's texts."""
    return write_store(folder, draw_lengths(STEPS_OF_TEXTS * batch, SEED), vocabulary)


def _forget() -> None:
    """Let go of the row before: its memory, and accelerate's one precision of a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def slowest_row(table: Path, hardware: str, half: str) -> Row:
    """Return ours in half precision whose step took longest, by the newest rows of a table.

    Raises:
        UserError: there are none of this GPU.
    """
    took: dict[str, float] = {}
    if table.is_file():
        with table.open(encoding="utf-8", newline="") as stream:
            for line in csv.DictReader(stream, delimiter="\t"):
                row = line["hardware"], line["side"], line["precision"], line["dropout"]
                if row == (hardware, OURS, half, "0.1") and line["ms"] != "-":
                    took[line["case"]] = float(line["ms"])
    if not took:
        raise UserError(f"{table} has no row of {hardware} in {half}: measure the steps first (--parts steps)")
    return Row(max(took, key=lambda case: took[case]), OURS, half)


def profile_row(row: Row, case: Case, scale: Scale, *, top: int = 30) -> str:
    """Return what the profiler says of two steps of ours: what took longest on the device, and on the host."""
    from torch.profiler import ProfilerActivity, profile

    with tempfile.TemporaryDirectory() as name:
        _forget()
        take = OurStep(
            case,
            _store(Path(name) / "store", scale.batch, case.vocabulary),
            scale.batch,
            row.dropout,
            row.precision,
            None,
        )
        for step in range(1, WARM_UPS + 1):
            take(step)
        on_gpu = torch.cuda.is_available()
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
        with profile(activities=activities) as found:
            for step in (WARM_UPS + 1, WARM_UPS + 2):
                take(step)
        form = take.in_words()
    keys = ["self_device_time_total", "self_cpu_time_total"] if on_gpu else ["self_cpu_time_total"]
    tables = [found.key_averages().table(sort_by=key, row_limit=top, max_name_column_width=80) for key in keys]
    return "\n".join([f"{row.case}, {row.precision}, dropout {row.dropout}: {form}", *tables])
