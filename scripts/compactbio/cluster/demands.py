"""What the rules ask for, compared with what the partitions of a cluster allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compactbio.cluster.partitions import Partition
from compactbio.errors import UserError


@dataclass(frozen=True)
class Demand:
    """What a job of a rule asks for; memory is that of a node, GPUs those of all nodes."""

    rule: str
    minutes: float
    memory_mb: int
    threads: int = 1
    gpus: int = 0
    nodes: int = 1


def read_demands(content: Any) -> list[Demand]:
    """Return the demands in a mapping from rule to runtime, mem_mb, threads, gpu and nodes.

    Raises:
        UserError: an entry is something else.
    """
    try:
        return [
            Demand(
                rule,
                minutes=float(asked["runtime"]),
                memory_mb=int(asked["mem_mb"]),
                threads=int(asked.get("threads", 1)),
                gpus=int(asked.get("gpu", 0)),
                nodes=int(asked.get("nodes", 1)),
            )
            for rule, asked in content.items()
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"--demands is not a mapping from rules to what they ask for ({error!r})") from None


def obstacles(demand: Demand, partition: Partition) -> list[str]:
    """Return why a partition cannot take a job, empty where it can."""
    found = []
    if partition.max_minutes is not None and demand.minutes > partition.max_minutes:
        found.append(f"runtime {demand.minutes:.0f} min > {partition.max_minutes:.0f}")
    if demand.memory_mb > partition.memory_mb:
        found.append(f"mem_mb {demand.memory_mb} > {partition.memory_mb}")
    if demand.threads > partition.cpus:
        found.append(f"threads {demand.threads} > {partition.cpus}")
    on_node = -(-demand.gpus // demand.nodes)
    if on_node > partition.gpus_per_node:
        found.append(f"{on_node} GPUs a node > {partition.gpus_per_node}")
    most_nodes = min(partition.nodes, partition.max_nodes or partition.nodes)
    if demand.nodes > most_nodes:
        found.append(f"{demand.nodes} nodes > {most_nodes}")
    return found


def fitting(demand: Demand, partitions: Sequence[Partition]) -> tuple[list[str], str]:
    """Return the partitions that take a job and, where none does, what keeps the nearest from it."""
    able = [partition for partition in partitions if partition.up]
    names = [partition.name for partition in able if not obstacles(demand, partition)]
    if names or not able:
        return names, "" if names else "no partition is up"
    nearest = min(able, key=lambda partition: (len(obstacles(demand, partition)), not partition.gpus))
    return [], f"{nearest.name}: {', '.join(obstacles(demand, nearest))}"
