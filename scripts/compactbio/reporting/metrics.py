"""What can be scored, as the tables ask for it: the records of compactbio.kinds by the name of a kind of task."""

from __future__ import annotations

from compactbio.kinds import KINDS
from compactbio.kinds.kind import REFERENCE, STANDARD

__all__ = ["REFERENCE", "STANDARD"]

METRICS: dict[str, tuple[str, ...]] = {name: kind.metric_names for name, kind in KINDS.items()}
VARIANTS: dict[str, tuple[str, ...]] = {name: kind.variants for name, kind in KINDS.items()}
COUNTS = frozenset(name for kind in KINDS.values() for name in kind.count_names)
PROTOCOLS: dict[str, tuple[str, ...]] = {name: kind.protocol_names for name, kind in KINDS.items()}
HEADLINE: dict[str, str] = {name: kind.headline for name, kind in KINDS.items()}
TASK_TITLES: dict[str, str] = {name: kind.title for name, kind in KINDS.items()}
TEST_ROWS: dict[str, str] = {name: kind.test_rows for name, kind in KINDS.items()}
TASK_SHORT: dict[str, str] = {name: kind.short for name, kind in KINDS.items()}
METRIC_TITLES: dict[str, str] = {
    **{name: title for kind in KINDS.values() for name, title in kind.titles.items()},
    **{count.name: count.title for kind in KINDS.values() for count in kind.counted},
    "retained": "% of baseline",
}
PROTOCOL_EXPLANATIONS: dict[tuple[str, str], str] = {
    (name, protocol.name): protocol.explanation for name, kind in KINDS.items() for protocol in kind.protocols
}


def known_metrics(task: str) -> tuple[str, ...]:
    """Return every metric that a kind of task may have, required ones first."""
    return KINDS[task].known_metrics()
