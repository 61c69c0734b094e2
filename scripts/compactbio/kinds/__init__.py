"""Kinds of task: one record each, asked by settings, tasks, scoring, fine-tuning, tables and publishing.

A kind is added by a module here and its entry in KINDS; what needs torch is finetuning/kinds/<name>.py, its scores are
scoring/kinds/<name>.py.
"""

from __future__ import annotations

from collections.abc import Collection

from compactbio.errors import UserError
from compactbio.kinds import classification, multilabel, ner, qa, re, regression
from compactbio.kinds.kind import SUPPORT, Kind

# in the order of the tables
KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (ner.KIND, re.KIND, qa.KIND, classification.KIND, multilabel.KIND, regression.KIND)
}

# numbers that are no fractions
COUNTS = frozenset(name for kind in KINDS.values() for name in kind.count_names) | {SUPPORT}
METRIC_TITLES: dict[str, str] = {
    SUPPORT: "support",
    **{name: title for kind in KINDS.values() for name, title in kind.titles.items()},
    **{metric.name: metric.title for kind in KINDS.values() for metric in kind.class_metrics},
    **{count.name: count.title for kind in KINDS.values() for count in kind.counted},
}


def kind_of(name: object, key: str = "task") -> Kind:
    """Return a kind of task by its name as a configuration or a file has it; `key` is where, for the message.

    Raises:
        UserError: there is no such kind.
    """
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise UserError(f"{key} is {name!r}; possible are {', '.join(KINDS)}")
    return kind


def scored_by(protocol: str, tasks: Collection[str]) -> tuple[list[Kind], list[Kind]]:
    """Return which of some kinds of task have a protocol and which lack it, each in the order of the tables."""
    kinds = [kind for name, kind in KINDS.items() if name in tasks]
    having = [kind for kind in kinds if protocol in kind.protocol_names]
    return having, [kind for kind in kinds if kind not in having]
