"""What a step launches and moves on a GPU: counted right, and without copies that attention does not need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from helpers.configurations import ROOT
from helpers.launches import Card, Counting, Launch, by_name, total
from torch import nn

ROWS, WIDTH, OUT = 6, 8, 16
FLOAT, HALF = 4, 2


def counted(work) -> Counter[Launch]:
    """What a piece of work launches."""
    with Counting(device="cpu") as counting:
        work()
    return counting.sections.get(None, Counter())


def one(launches: Counter[Launch], name: str) -> Launch:
    """The only launch of an operation."""
    (found,) = [launch for launch in launches.elements() if launch.name.split()[0] == name]
    return found


def test_a_linear_layer_and_its_norm_forward_and_backward() -> None:
    linear, norm = nn.Linear(WIDTH, OUT), nn.LayerNorm(OUT)
    states = torch.ones(ROWS, WIDTH, requires_grad=True)
    launches = counted(lambda: norm(linear(states)).sum().backward())
    read, weight, written = ROWS * WIDTH, OUT * WIDTH, ROWS * OUT
    forward = one(launches, "addmm")
    assert forward.bytes == FLOAT * (read + weight + OUT + written)
    assert forward.flops == 2 * ROWS * WIDTH * OUT
    # two products backward: of the gradient with the weight, and with the input
    both = FLOAT * ((written + weight + read) + (written + read + weight))
    assert [sum(row[place] for row in by_name(launches) if row[0].startswith("mm ")) for place in (1, 2, 3)] == [
        2,
        both,
        2 * forward.flops,
    ]
    statistics = 2 * ROWS
    assert one(launches, "native_layer_norm").bytes == FLOAT * (written + 2 * OUT + written + statistics)
    # the gradient of a sum is one number, repeated
    assert one(launches, "native_layer_norm_backward").bytes == FLOAT * (
        1 + written + statistics + 2 * OUT + written + 2 * OUT
    )
    assert not {"t", "view", "expand", "detach"} & {launch.name.split()[0] for launch in launches}


def test_rows_are_read_and_not_the_table() -> None:
    table, numbers = torch.ones(1000, WIDTH), torch.tensor([3, 5, 3])
    rows, places = len(numbers) * WIDTH * FLOAT, len(numbers) * 8
    assert total(counted(lambda: F.embedding(numbers, table)))[:2] == (1, places + 2 * rows)
    assert total(counted(lambda: table.index_select(0, numbers)))[:2] == (1, places + 2 * rows)
    added = torch.ones(len(numbers), WIDTH)
    assert total(counted(lambda: table.index_copy_(0, numbers, added)))[:2] == (1, places + 2 * rows)
    scores, labels = torch.ones(ROWS, 1000), torch.zeros(ROWS, dtype=torch.long)
    loss = one(counted(lambda: F.nll_loss(scores, labels)), "nll_loss_forward")
    assert loss.bytes == ROWS * (8 + FLOAT) + 2 * FLOAT  # and the loss, and what it is divided by


def test_what_is_overwritten_is_not_read() -> None:
    values, other = torch.ones(ROWS, WIDTH), torch.ones(ROWS, WIDTH, dtype=torch.bfloat16)
    size = ROWS * WIDTH
    assert total(counted(lambda: values.zero_()))[:2] == (1, size * FLOAT)
    assert total(counted(lambda: values.add_(1.0)))[:2] == (1, 2 * size * FLOAT)
    assert total(counted(lambda: values.copy_(other)))[:2] == (1, size * (FLOAT + HALF))
    assert total(counted(lambda: torch.mul(values, 2.0, out=other)))[:2] == (1, size * (FLOAT + HALF))
    assert total(counted(lambda: torch.zeros_like(values)))[:2] == (1, size * FLOAT)
    assert total(counted(lambda: torch.empty_like(values).view(-1)[3:].detach()))[:2] == (0, 0)
    # each once where it is repeated, and nothing else of the memory behind it
    assert total(counted(lambda: values[:1].expand(ROWS, -1).contiguous()))[1] == (WIDTH + size) * FLOAT


def test_a_kernel_takes_as_long_as_what_it_has_most_of() -> None:
    card = Card(peak=100.0, bandwidth=10.0, least=2.0)
    assert card.seconds(Counter({Launch("a", 50, 0): 2, Launch("b", 10, 400): 1, Launch("c", 1, 1): 3})) == 20.0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="the pretended device is built by g++")
def test_packed_attention_copies_nothing() -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, ROOT / "tests/helpers/step_census.py", "--cases", "mlm_6l_768", "--top", "99"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    kernels = {name: int(count) for count, name in re.findall(r"(\d+) x (\w+)", done.stdout)}
    assert kernels["_flash_attention_forward"] == kernels["_flash_attention_backward"] == 6
    assert not kernels.keys() & {"clone", "select_backward", "slice_backward", "cat", "constant_pad_nd", "index_put"}
    row = next(line for line in done.stdout.splitlines() if line.startswith("mlm_6l_768")).split("\t")
    layers, width, inner, positions = 6, 768, 3072, 31_296
    # weights of layers that see all positions, forward and twice backward; the last layer sees 15 % of them
    whole = 6 * positions * (layers - 1) * (4 * width**2 + 2 * width * inner)
    assert whole < float(row[4]) * 1e12 < 1.5 * whole
