"""What is read from sinfo, scontrol and sacctmgr, what is written from it, which jobs fit where. No SLURM needed."""

from __future__ import annotations

import pytest
import yaml
from helpers.configurations import ROOT
from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file

from compactbio.cluster.partitions import (
    Demand,
    fitting,
    partition_file,
    preemptible,
    read_demands,
    read_gpus,
    read_partitions,
)
from compactbio.cluster.site import Accounts, environment_file, read_accounts
from compactbio.errors import UserError
from compactbio.slurm import minutes_of, rows_of

# recorded from a SLURM 22.05: `sinfo --noheader --format "%R|%D|%c|%m|%G"` and `scontrol --oneliner show partition`,
# the lines shortened to what is read and what could be taken for it
SINFO = """\
cpu|3|16|64000|(null)
gpu|1|16|64000|gpu:a100:4
gpu|2|32+|128000+|gpu:v100:2(S:0-1)
preemptible|3|16|64000|gpu:a100:4
closed|1|16|64000|(null)
"""
SCONTROL = """\
PartitionName=cpu AllowAccounts=ALL Default=YES MaxNodes=UNLIMITED MaxTime=1-00:00:00 PriorityTier=10 RootOnly=NO \
PreemptMode=OFF State=UP TotalCPUs=48 TotalNodes=3
PartitionName=gpu AllowAccounts=lab,other Default=NO MaxNodes=2 MaxTime=2-00:00:00 PriorityTier=10 RootOnly=NO \
PreemptMode=OFF State=UP TotalCPUs=48 TotalNodes=3
PartitionName=preemptible AllowAccounts=ALL Default=NO MaxNodes=UNLIMITED MaxTime=UNLIMITED PriorityTier=1 RootOnly=NO \
PreemptMode=REQUEUE State=UP TotalCPUs=48 TotalNodes=3
PartitionName=closed AllowAccounts=ALL Default=NO MaxNodes=1 MaxTime=01:00:00 PriorityTier=1 RootOnly=NO \
PreemptMode=OFF State=DOWN TotalCPUs=16 TotalNodes=1
"""


@pytest.fixture
def partitions():
    return read_partitions(SINFO, SCONTROL)


class Job:
    """As much of a Snakemake job as the plugin's choice of a partition looks at."""

    def __init__(self, threads=1, **resources):
        self.name, self.threads, self.resources = "job", threads, resources


class Quiet:
    """A logger that says nothing."""

    def __getattr__(self, name):
        return lambda *arguments: None


def chosen(path, **resources):
    """The partition that the plugin chooses for a job by a file."""
    return get_best_partition(read_partition_file(path), Job(**resources), Quiet())


def test_partitions_are_those_of_their_largest_nodes(partitions):
    by_name = {partition.name: partition for partition in partitions}
    assert list(by_name) == ["cpu", "gpu", "preemptible", "closed"]
    gpu = by_name["gpu"]
    assert (gpu.nodes, gpu.max_nodes, gpu.cpus, gpu.memory_mb) == (3, 2, 32, 128000)
    assert (gpu.gpus, gpu.gpus_per_node, gpu.max_minutes) == ({"a100": 4, "v100": 2}, 4, 2880)
    assert by_name["cpu"].default and not by_name["closed"].up
    assert [name for name, one in by_name.items() if preemptible(one, partitions)] == ["preemptible"]


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("(null)", {}),
        ("gpu:2", {"": 2}),
        ("gpu", {"": 1}),
        ("gpu:a100:4(S:0-1),nvme:1", {"a100": 4}),
        ("craynetwork:4,gpu:v100:2,gpu:a100:1", {"v100": 2, "a100": 1}),
        ("gpu:a100_3g.20gb:2(S:1)", {"a100_3g.20gb": 2}),
    ],
)
def test_gpus_of_a_node(gres, gpus):
    assert read_gpus(gres) == gpus


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("infinite", None), ("30", 30), ("30:00", 30), ("02:00:00", 120), ("1-12", 2160), ("2-01:30:00", 2970)],
)
def test_times(text, minutes):
    assert minutes_of(text) == minutes


def test_a_line_with_other_cells_is_refused():
    with pytest.raises(UserError, match="2 cells were expected"):
        rows_of("a|b|c", "one", "two")


def test_the_draft_is_the_plugins_file(partitions, tmp_path):
    text = partition_file(partitions)
    path = tmp_path / "partitions.yaml"
    path.write_text(text)
    content = yaml.safe_load(text)["partitions"]
    assert list(content) == ["cpu", "gpu"]  # one is down, one may be preempted
    assert "  # preemptible:" in text and "# accounts: lab,other" in text
    asked = {"runtime": 1440, "mem_mb": 32000, "nodes": 1}
    assert chosen(path, threads=8, gpu=1, **asked) == "gpu"
    assert chosen(path, threads=8, gpu=8, **asked) is None
    assert chosen(path, threads=1, runtime=30, mem_mb=1000) == "cpu"


def test_a_preemptible_partition_is_there_once_its_lines_are(partitions, tmp_path):
    path = tmp_path / "partitions.yaml"
    lines = partition_file(partitions).splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("  # preemptible:"))
    path.write_text("\n".join([*lines[:begin], *(line.replace("# ", "", 1) for line in lines[begin:])]))
    assert chosen(path, threads=8, gpu=1, runtime=5000, mem_mb=32000, nodes=1) == "preemptible"


def test_the_example_sends_jobs_where_it_says():
    example = ROOT / "profiles/slurm/partitions.example.yaml"
    training = {"threads": 8, "mem_mb": 32000, "nodes": 1}
    assert chosen(example, gpu=1, runtime=1440, **training) == "gpu"
    assert chosen(example, gpu=1, gpu_model="a100", runtime=1440, **training) == "gpu-large"
    assert chosen(example, gpu=1, runtime=2000, **training) == "gpu-large"
    assert chosen(example, gpu=8, runtime=1440, **training) == "gpu-large"
    assert chosen(example, threads=4, mem_mb=12000, runtime=60) == "cpu"


def test_demands_fit_or_say_what_does_not(partitions):
    content = {"pretrain_model": {"runtime": 1440, "mem_mb": 32000, "threads": 8, "gpu": 8, "nodes": 2}}
    [demand] = read_demands(content)
    assert fitting(demand, partitions) == (["gpu", "preemptible"], "")
    names, why = fitting(Demand("one", minutes=9000, memory_mb=500_000, gpus=8), partitions)
    assert not names
    assert why == "preemptible: mem_mb 500000 > 64000, 8 GPUs a node > 4"
    with pytest.raises(UserError, match="--demands"):
        read_demands({"pretrain_model": {"runtime": "long"}})


def test_accounts():
    accounts = read_accounts("lab|\nlab|gpu\nother|\n", "lab\n")
    assert accounts == Accounts(("lab", "other"), "lab")
    text = environment_file(accounts, "$SCRATCH/x")
    assert "\nexport SBATCH_ACCOUNT=lab\n" in text and "yours are lab, other" in text
    assert "\n# export SBATCH_ACCOUNT=NAME\n" in environment_file(Accounts(unknown="no accounting"), "x")
