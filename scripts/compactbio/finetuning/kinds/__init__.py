"""What each kind of task needs for fine-tuning besides its record: a module of the record's name, with KIND in it."""

from __future__ import annotations

from importlib import import_module

from compactbio.finetuning.kinds.task_kind import TaskKind
from compactbio.kinds import kind_of


def task_kind(name: str) -> TaskKind:
    """Return what fine-tuning needs of a kind of task; imports torch.

    Raises:
        UserError: there is no such kind.
    """
    kind: TaskKind = import_module(f"{__name__}.{kind_of(name).name}").KIND
    return kind
