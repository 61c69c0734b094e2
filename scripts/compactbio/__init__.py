"""Library of the replication workflow: one package per stage, shared modules beside them."""

from __future__ import annotations

import sys
from types import TracebackType

_before = sys.excepthook


def _say_interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print one line for a ^C that comes while a program's imports run, before `logs.run_program` is there."""
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
    else:
        _before(kind, error, trace)


sys.excepthook = _say_interrupted
