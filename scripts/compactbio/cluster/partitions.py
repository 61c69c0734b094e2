"""The partitions of a cluster, as sinfo and scontrol print them, and the plugin's file of their limits."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from compactbio.slurm import minutes_of, output_of, rows_of

SINFO_COLUMNS = ("partition", "nodes", "cpus", "memory", "gres")
SINFO = ("sinfo", "--noheader", "--format", "%R|%D|%c|%m|%G")
SCONTROL = ("scontrol", "--oneliner", "show", "partition")


@dataclass(frozen=True)
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


def ask_partitions() -> list[Partition]:
    """Return the partitions of the cluster that this machine belongs to."""
    return read_partitions(output_of(*SINFO), output_of(*SCONTROL))


def read_partitions(sinfo: str, scontrol: str) -> list[Partition]:
    """Return the partitions in what the commands SINFO and SCONTROL print, in the latter's order."""
    partitions = {}
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
            gpus = known.gpus | {
                kind: max(count, known.gpus.get(kind, 0)) for kind, count in read_gpus(row["gres"]).items()
            }
            partitions[known.name] = replace(
                known,
                nodes=known.nodes + int(row["nodes"]),
                cpus=max(known.cpus, _number(row["cpus"])),
                memory_mb=max(known.memory_mb, _number(row["memory"])),
                gpus=gpus,
            )
    return list(partitions.values())


def read_gpus(gres: str) -> dict[str, int]:
    """Return the GPUs in a node's generic resources by kind, such as gpu:a100:4(S:0-1),nvme:1."""
    gpus: dict[str, int] = {}
    for kind, count in re.findall(r"(?:^|,)gpu(?::([^:,()]+))??(?::(\d+))?(?=$|,|\()", gres):
        gpus[kind] = gpus.get(kind, 0) + int(count or 1)
    return gpus


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
    lines = []
    if partition.max_minutes is not None:
        lines.append(f"max_runtime: {round(partition.max_minutes)}  # minutes")
    lines.append(f"max_threads: {partition.cpus}")
    lines.append(f"max_mem_mb: {partition.memory_mb}")
    lines.append(f"max_nodes: {min(partition.nodes, partition.max_nodes or partition.nodes)}")
    if partition.gpus:
        lines.append(f"max_gpu: {partition.gpus_per_node}")
        kinds = [kind for kind in partition.gpus if kind]
        if kinds:
            lines.append(f"available_gpu_models: [{', '.join(kinds)}]")
    if partition.accounts != "ALL":
        lines[0] += f"  # accounts: {partition.accounts}"
    return lines


def _number(text: str) -> int:
    """Return the number that a text begins with: sinfo writes 128000+ where nodes differ."""
    found = re.match(r"\d+", text)
    return int(found.group()) if found else 0
