"""What each kind of task needs for fine-tuning besides its record: a module of the record's name, with KIND in it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from compactbio.finetuning.kinds.task_kind import TaskKind
from compactbio.kinds import kind_of


def task_kind(name: str, quirks: Mapping[str, str] | None = None) -> TaskKind:
    """Return what fine-tuning needs of a kind of task under the switches of a run file; imports torch.

    A switch that is not among `quirks` is `sound`.

    Raises:
        UserError: there is no such kind.
    """
    kind: TaskKind = import_module(f"{__name__}.{kind_of(name).name}").KIND
    return kind.under(quirks or {})
