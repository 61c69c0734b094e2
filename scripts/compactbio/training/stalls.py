"""The file `stalled`: why a run's tries are in vain, and whether that still holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypedDict, cast

from compactbio.training.circumstances import Facts

STALLED = "stalled"
TOKENS = "micro_batch_tokens"  # where it is `auto` it is no fact
MEMORY, DEADLINE, LOSS, DIED = "memory", "deadline", "loss", "died"
MORE, LESS, OTHER = "more", "less", "other"
# by kind of cause, the facts it depends on, and in which direction a change takes the cause away
TAKEN_AWAY_BY = {
    MEMORY: {"memory_mb": MORE, "gpu_memory_mb": MORE, "micro_batch_tokens": LESS, "processes": MORE, "code": OTHER},
    DEADLINE: {"minutes": MORE, "processes": MORE, "code": OTHER},
    LOSS: {"micro_batch_tokens": OTHER, "processes": OTHER, "code": OTHER},
    DIED: {
        "host": OTHER,
        "memory_mb": MORE,
        "gpu_memory_mb": MORE,
        "minutes": MORE,
        "micro_batch_tokens": LESS,
        "processes": OTHER,
        "code": OTHER,
    },
}
UNTIL = {
    MEMORY: "there is more memory, a smaller micro_batch_tokens, more processes or other code",
    DEADLINE: "there are more minutes, more processes or other code",
    LOSS: "the number of processes, micro_batch_tokens or the code is another",
    DIED: "the host, the processes or the code change, or there is more memory or time or a smaller micro_batch_tokens",
}
NAMES = {
    "host": "the host",
    "memory_mb": "the memory in MB",
    "gpu_memory_mb": "the GPU's memory in MB",
    "minutes": "the time limit in minutes (0: none)",
    "micro_batch_tokens": "micro_batch_tokens",
    "processes": "the number of processes",
    "code": "the code",
}


class Stall(TypedDict):
    """Content of the file."""

    kind: str
    reason: str
    step: int
    facts: Facts


def read_stall(folder: Path) -> Stall | None:
    """Return the content of the marker in a run's folder; None where there is none or it names no facts.

    Raises:
        OSError: it cannot be read, which does not say that it is not there.
    """
    try:
        value: Any = json.loads((folder / STALLED).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    whole = isinstance(value, dict) and set(value) >= set(Stall.__annotations__)
    known = whole and value["kind"] in TAKEN_AWAY_BY and isinstance(value["facts"], dict)
    return cast(Stall, value) if known else None


def what_changed(stall: Stall, now: Facts) -> str:
    """Return in words what has taken a cause away, empty while it holds."""
    then: dict[str, Any] = dict(stall["facts"])
    present: dict[str, Any] = dict(now)
    for name, how in TAKEN_AWAY_BY[stall["kind"]].items():
        if name == TOKENS and name not in then and name in present:
            return f"{NAMES[name]} was auto and is {present[name]}"
        if name not in then or name not in present:
            continue  # nothing to compare
        before, after = then[name], present[name]
        if type(before) is str or how == OTHER:
            gone = before != after
        elif name == "minutes":  # 0: no limit
            gone = bool(before) and (not after or after > before)
        else:
            # a little more is the same: two hosts of one kind
            gone = after > 1.02 * before if how == MORE else after < before
        if gone:
            return f"{NAMES[name]} is another" if name == "code" else f"{NAMES[name]} was {before} and is {after}"
    return ""
