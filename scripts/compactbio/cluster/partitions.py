"""The partitions of a cluster, as sinfo and scontrol print them: which take a rule's jobs, and the plugin's file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from compactbio.errors import UserError
from compactbio.slurm import minutes_of, output_of, rows_of

SINFO_COLUMNS = ("partition", "nodes", "cpus", "memory", "gres")
SINFO = ("sinfo", "--noheader", "--format", "%R|%D|%c|%m|%G")
SCONTROL = ("scontrol", "--oneliner", "show", "partition")


@dataclass
class Partition:
    """One partition. CPUs, memory and GPUs are those of its largest node; None is no limit."""

    name: str
    default: bool = False
    up: bool = True
    max_minutes: float | None = None
    nodes: int = 0
    max_nodes: int | None = None
    cpus: int = 0
    memory_mb: int = 0
    gpus: dict[str, int] = field(default_factory=dict)
    """By kind; the kind is empty where the site does not name it."""
    priority: int = 1
    preempt_mode: str = "OFF"
    accounts: str = "ALL"

    @property
    def gpus_per_node(self) -> int:
        """Return the most GPUs of one kind that a node has."""
        return max(self.gpus.values(), default=0)

    @property
    def most_nodes(self) -> int:
        """Return the nodes that one job may have."""
        return min(self.nodes, self.max_nodes or self.nodes)


def ask_partitions() -> list[Partition]:
    """Return the partitions of the cluster that this machine belongs to."""
    return read_partitions(output_of(*SINFO), output_of(*SCONTROL))


def read_partitions(sinfo: str, scontrol: str) -> list[Partition]:
    """Return the partitions in what the commands SINFO and SCONTROL print, in the latter's order."""
    partitions: dict[str, Partition] = {}
    for line in scontrol.splitlines():
        facts = dict(entry.split("=", 1) for entry in line.split() if "=" in entry)
        if "PartitionName" not in facts:
            continue
        max_nodes = facts.get("MaxNodes", "UNLIMITED")
        partitions[facts["PartitionName"]] = Partition(
            name=facts["PartitionName"],
            default=facts.get("Default") == "YES",
            up=facts.get("State", "UP") == "UP" and facts.get("RootOnly", "NO") == "NO",
            max_minutes=minutes_of(facts.get("MaxTime", "UNLIMITED")),
            max_nodes=int(max_nodes) if max_nodes.isdigit() else None,
            priority=int(facts.get("PriorityTier", "1")),
            preempt_mode=facts.get("PreemptMode", "OFF"),
            accounts=facts.get("AllowAccounts", "ALL"),
        )
    for row in rows_of(sinfo, *SINFO_COLUMNS):  # a line for each kind of node
        if row["partition"] in partitions:
            known = partitions[row["partition"]]
            known.nodes += int(row["nodes"])
            known.cpus = max(known.cpus, _number(row["cpus"]))
            known.memory_mb = max(known.memory_mb, _number(row["memory"]))
            for kind, count in read_gpus(row["gres"]).items():
                known.gpus[kind] = max(count, known.gpus.get(kind, 0))
    return list(partitions.values())


def read_gpus(gres: str) -> dict[str, int]:
    """Return the GPUs in a node's generic resources by kind, such as gpu:a100:4(S:0-1),nvme:1."""
    gpus: dict[str, int] = {}
    for kind, count in re.findall(r"(?:^|,)gpu(?::([^:,()]+))??(?::(\d+))?(?=$|,|\()", gres):
        gpus[kind] = gpus.get(kind, 0) + int(count or 1)
    return gpus


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
    on_node = -(-demand.gpus // demand.nodes)
    limits: tuple[tuple[str, float, float | None], ...] = (
        (f"runtime {demand.minutes:.0f} min", demand.minutes, partition.max_minutes),
        (f"mem_mb {demand.memory_mb}", demand.memory_mb, partition.memory_mb),
        (f"threads {demand.threads}", demand.threads, partition.cpus),
        (f"{on_node} GPUs a node", on_node, partition.gpus_per_node),
        (f"{demand.nodes} nodes", demand.nodes, partition.most_nodes),
    )
    return [f"{text} > {most:.0f}" for text, asked, most in limits if most is not None and asked > most]


def fitting(demand: Demand, partitions: Sequence[Partition]) -> tuple[list[str], str]:
    """Return the partitions that take a job and, where none does, what keeps the nearest from it."""
    able = [partition for partition in partitions if partition.up]
    names = [partition.name for partition in able if not obstacles(demand, partition)]
    if names or not able:
        return names, "" if names else "no partition is up"
    nearest = min(able, key=lambda partition: (len(obstacles(demand, partition)), not partition.gpus))
    return [], f"{nearest.name}: {', '.join(obstacles(demand, nearest))}"


def preemptible(partition: Partition, others: Iterable[Partition]) -> bool:
    """Return whether jobs of another partition may preempt those of this one."""
    return partition.preempt_mode not in ("OFF", "") and any(other.priority > partition.priority for other in others)


def partition_file(partitions: Iterable[Partition]) -> str:
    """Return the plugin's file of limits, with what to check beside it.

    Partitions whose jobs may be preempted are there as comments: using them is a choice.
    """
    listed = [partition for partition in partitions if partition.up and partition.nodes]
    lines = [
        "# Written by `make site` from sinfo and scontrol: check it, edit it. Read by config.yaml beside it.",
        "# Each job goes to the partition that fits it best; jobs without GPU avoid those with max_gpu.",
        "# Check: may your account use each of them? Remove those for debugging, interactive work or large memory",
        "# unless they are meant for days of jobs. max_gpu counts the GPUs of one node, max_mem_mb is a node's.",
        "partitions:",
    ]
    for partition in listed:
        block = [f"  {partition.name}:", *(f"    {line}" for line in _limits(partition))]
        if preemptible(partition, listed):
            lines.append("  # jobs here may be preempted; trainings then go on from their checkpoints. To use it:")
            block = [f"  # {line[2:]}" for line in block]
        lines += block
    return "\n".join(lines) + "\n"


def _limits(partition: Partition) -> list[str]:
    """Return the lines of a partition's limits."""
    lines = [] if partition.max_minutes is None else [f"max_runtime: {round(partition.max_minutes)}  # minutes"]
    lines += [
        f"max_threads: {partition.cpus}",
        f"max_mem_mb: {partition.memory_mb}",
        f"max_nodes: {partition.most_nodes}",
    ]
    if partition.gpus:
        lines.append(f"max_gpu: {partition.gpus_per_node}")
    if any(partition.gpus):
        lines.append(f"available_gpu_models: [{', '.join(filter(None, partition.gpus))}]")
    if partition.accounts != "ALL":
        lines[0] += f"  # accounts: {partition.accounts}"
    return lines


def _number(text: str) -> int:
    """Return the number that a text begins with: sinfo writes 128000+ where nodes differ."""
    found = re.match(r"\d+", text)
    return int(found.group()) if found else 0
