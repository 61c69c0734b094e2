"""Importing large libraries in less time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the garbage collector off for a block that imports large libraries, and what they made out of its sight.

    That lives as long as the process, yet each collection and the process's end would look at all of it: with torch
    and transformers two of five CPU seconds of a program that does nothing else.

    For a function that lives as long as the process and whose variables may: large libraries leave caught exceptions
    behind, whose tracebacks hold the frames of all callers, and what lies there out of sight is never freed.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
