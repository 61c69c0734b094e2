"""Importing large libraries in less time."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

# Packages that transformers and huggingface_hub import where they are installed, for what nothing here uses: losses of
# object detection, asynchronous downloads.
UNUSED = ("scipy", "trio")
MODELS = ("torch", "accelerate", "transformers.modeling_utils", "transformers.models.auto.modeling_auto")


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


def import_models() -> None:
    """Import torch and what transformers' models need, as any later import of them would, in half the time."""
    if any(name not in sys.modules for name in MODELS):
        with without_collector():
            import_without(UNUSED, MODELS)


def import_without(packages: Sequence[str], modules: Sequence[str]) -> None:
    """Import modules while optional packages of theirs are not to be found, which can be found again afterwards.

    A library that asks first whether a package is there keeps the answer. Where one turns out not to be optional, as
    in another version of a library it may, all are there and the imports begin again.
    """
    try:
        with _hidden(packages):
            for name in modules:
                import_module(name)
    except ImportError:
        for name in modules:
            import_module(name)


@contextmanager
def _hidden(packages: Sequence[str]) -> Iterator[None]:
    """Let packages that are not imported yet not be found in a block."""
    names = [name for name in packages if name not in sys.modules]
    # documented: the import of a name whose entry is None fails as that of a missing package does
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in names:
            if sys.modules.get(name, sys) is None:
                del sys.modules[name]
