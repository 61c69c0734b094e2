"""A benchmark as a configuration defines it: groups of datasets, each with the metric that is its column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from compactbio.kinds import KINDS
from compactbio.kinds.kind import STANDARD, Kind
from compactbio.settings.names import undefined


@dataclass(frozen=True)
class Column:
    """A dataset of a benchmark.

    Attributes:
        title: its name there.
        dataset: its name in the configuration.
        metric: of the standard protocol.
        note: what readers of the table have to know of it.
        absent: why it is missing where the run does not have it.
    """

    title: str
    dataset: str
    metric: str
    note: str
    absent: str


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: its name, where it is defined, and its columns by the titles of their groups."""

    name: str
    source: str
    groups: Mapping[str, tuple[Column, ...]]


def read_benchmark(definition: Mapping[str, Any]) -> Benchmark:
    """Return the benchmark of a checked configuration's key `benchmark`."""
    groups = {
        group: tuple(
            Column(
                *(title, column["dataset"], column["metric"]),
                note=column.get("note", ""),
                absent=column.get("absent", "not part of this run"),
            )
            for title, column in columns.items()
        )
        for group, columns in definition["groups"].items()
    }
    return Benchmark(definition["name"], definition["source"], groups)


def benchmark_faults(config: dict[str, Any]) -> Iterator[str]:
    """Yield columns whose dataset is not defined, or whose metric its kind of task has not."""
    for group, columns in (config.get("benchmark") or {"groups": {}})["groups"].items():
        for title, column in columns.items():
            place = f"benchmark.groups.{group}.{title}"
            yield from undefined(f"{place}.dataset", column["dataset"], config["datasets"])
            dataset = config["datasets"].get(column["dataset"])
            known = () if dataset is None else _metrics(KINDS[dataset["task"]])
            if known and column["metric"] not in known:
                yield f"{place}.metric: `{column['metric']}` is none of {dataset['task']}: {', '.join(known)}"


def _metrics(kind: Kind) -> tuple[str, ...]:
    """Return the metrics that a kind of task has under the standard protocol, in whatever variant."""
    special = {one.name for protocol in kind.protocols if protocol.name != STANDARD for one in protocol.metrics}
    return tuple(name for name in kind.known_metrics() if name not in (*kind.count_names, *special))
