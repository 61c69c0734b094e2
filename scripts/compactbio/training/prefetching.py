"""Micro-batches made one step ahead of the training, in a thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from compactbio.training.interface import MicroBatch


@contextlib.contextmanager
def prefetched(
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
