"""Timed passes of several models in turn: the settings, the order, and what became of them."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np

from compactbio.errors import UserError
from compactbio.provenance import cpu_information
from compactbio.reporting.efficiency.measurements import Speed, Spread

Key = TypeVar("Key")

POSITIVE = ("threads", "repetitions", "batch_size", "sequence_length")  # options that must be at least 1


@dataclass(frozen=True, slots=True)
class MeasurementSettings:
    """How models are measured; every model sees the same token ids."""

    sequence_length: int = 128  # tokens
    batch_size: int = 32  # sequences of the throughput measurement; latency has a batch of 1
    repetitions: int = 10  # timed passes of each model, device and batch size
    warmup: int = 2  # passes before them that are not counted
    threads: int = 1  # CPU threads
    seed: int = 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `settings_of` to a program's command line."""
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--repetitions", type=int, default=10, help="timed passes of each kind (default 10)")
    parser.add_argument("--warmup", type=int, default=2, help="passes before them (default 2)")
    parser.add_argument("--batch-size", type=int, default=32, help="batch of the throughput (default 32)")
    parser.add_argument("--sequence-length", type=int, default=128, help="tokens of a sequence (default 128)")


def settings_of(arguments: argparse.Namespace) -> MeasurementSettings:
    """Return the settings of a parsed command line.

    Raises:
        UserError: a number is not positive.
    """
    for option in POSITIVE:
        if getattr(arguments, option) < 1:
            raise UserError(f"--{option.replace('_', '-')} must be at least 1")
    known = {field.name for field in fields(MeasurementSettings)}
    return MeasurementSettings(**{name: value for name, value in vars(arguments).items() if name in known})


def named_folders(texts: Sequence[str]) -> dict[str, Path]:
    """Return the folders of --models by name.

    Raises:
        UserError: a text is not NAME=FOLDER, a name is given twice, or a folder is not there.
    """
    folders = {}
    for text in texts:
        name, separator, folder = text.partition("=")
        if not separator or not name or name in folders:
            raise UserError(f"--models: {text!r} is not NAME=FOLDER, or its name is given twice")
        if not Path(folder).is_dir():
            raise UserError(f"--models: there is no folder {folder}")
        folders[name] = Path(folder)
    return folders


def measure_speeds(
    passes: Mapping[tuple[Key, int], Callable[[], object]], settings: MeasurementSettings
) -> dict[Key, Speed]:
    """Return latency and throughput of everything that is timed, by its passes of one sequence and of a batch.

    Args:
        passes: by what is timed and the number of sequences, 1 and `settings.batch_size`.
    """
    seconds = time_in_turn(passes, settings)
    return {
        key: {
            "latency_milliseconds": spread([1000 * one for one in seconds[key, 1]]),
            "throughput_sequences_per_second": spread(
                [settings.batch_size / one for one in seconds[key, settings.batch_size]]
            ),
        }
        for key in dict.fromkeys(key for key, _ in passes)
    }


def time_in_turn(passes: Mapping[Key, Callable[[], object]], settings: MeasurementSettings) -> dict[Key, list[float]]:
    """Return the seconds of every timed pass.

    One repetition makes every pass once, so that what disturbs the machine for a while disturbs all of them; the order
    is turned by one place each time. A pass has ended when its function returns.
    """
    keys = list(passes)
    seconds: dict[Key, list[float]] = {key: [] for key in keys}
    for repetition in range(-settings.warmup, settings.repetitions):
        turn = repetition % len(keys)
        for key in [*keys[turn:], *keys[:turn]]:
            elapsed = _time_pass(passes[key])
            if repetition >= 0:
                seconds[key].append(elapsed)
    return seconds


def _time_pass(make: Callable[[], object]) -> float:
    """Return the seconds of a forward pass that follows another of its kind.

    Without the first one, what the model before it in the turn left in caches and memory would be measured too: twice
    the latency of a small model after a batch of a large one.
    """
    make()
    start = time.perf_counter()
    make()
    return time.perf_counter() - start


def spread(values: Sequence[float]) -> Spread:
    """Return median, first and third quartile of a measurement, and its values."""
    first, third = map(float, np.quantile(values, [0.25, 0.75]))
    return {"median": statistics.median(values), "q1": first, "q3": third, "values": list(values)}


def integer_instructions() -> str:
    """Return the best instructions for sums of products of 8-bit numbers that the CPU has, "" if none is known.

    They decide what int8 gains; x86 only, by what Linux reports.
    """
    flags = set(cpu_information("flags").split())
    return next((name for name in ("amx_int8", "avx512_vnni", "avx_vnni", "avx2") if name in flags), "")
