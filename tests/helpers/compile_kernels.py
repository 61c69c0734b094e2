"""Compiles what calls of the kernels launch, of the types and sizes of trainings, for a GPU that is not here.

    python -m helpers.compile_kernels CAPABILITY [trials]

`trials`: prints only what a training launches whose programs the trials before it have not compiled.

A program of its own: Triton decides at its import whether it interprets. Nothing is computed: tensors lie on the CPU,
and a launch ends where its program is compiled. So types, addresses and constants are those of real calls.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from compactbio.kernels import fused_blocks, logit_choice, map_choice
from compactbio.kernels.activated import FORMULAS, activated
from compactbio.kernels.attention_maps import Maps, compare_maps, dropped_attention, packed_layout
from compactbio.kernels.logits import compare_logits
from compactbio.kernels.residual_norm import Norm, residual_norm
from compactbio.terms.objective import read_objective
from compactbio.training.half_copies import half_of
from helpers.map_entries import map_entries

CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
TYPES = (BF16, FP16, FP32)
# ends by width: epsilon (None: not normalised), whether something is added, dropout
LAYER_NORMS: list[Any] = [(1e-12, True, {"dropout": 0.1}), (1e-12, False, {"dropout": 0.1, "late": True})]
MOBILEBERT: list[Any] = [(None, True, {"dropout": 0.1}), (None, False, {"dropout": 0.1, "late": True})]
BOTTLENECKS: list[Any] = [(None, True, {}), (None, False, {})]
ENDS = {768: LAYER_NORMS, 312: LAYER_NORMS, 512: MOBILEBERT, 128: BOTTLENECKS}
INNER = (3072, 1200, 512)  # of the paper's models
VOCABULARIES = (28_996, 30_522)  # rows of bf16 begin at multiples of 8 and of 4 bytes
HEADS, TOKENS, LONGEST, DROPOUT = 12, 512, 256, 0.1
HEAD_SIZES = ((64, 64), (26, 64), (32, 32))  # of student and teacher


def norms() -> Iterator[Tensor]:
    """The ends of blocks and of embeddings: all types at one width, as each is compiled."""
    for width, variants in ENDS.items():
        for dtype in TYPES if width == next(iter(ENDS)) else (BF16, FP32):
            half = None if dtype == FP32 else dtype
            for epsilon, adds, options in variants:
                states = _leaf(TOKENS, width, dtype=FP32 if options.get("late") else dtype)
                residual = _leaf(TOKENS, width) if adds else None
                norm = Norm(_leaf(width), _leaf(width), epsilon)
                output = residual_norm(states, residual, norm, half=half, **options)
                yield output.sum() if half is None else output.sum() + half_of(output, half).float().sum()


def activations() -> Iterator[Tensor]:
    """The layers before activations."""
    for width in INNER:
        for dtype in (BF16, FP32):
            for formula in FORMULAS:
                bias = _leaf(width)
                states, weight = _leaf(TOKENS, 64, dtype=dtype), _leaf(width, 64, dtype=dtype)
                yield activated(states, weight, bias.detach().to(dtype), bias, formula).float().sum()


def logits() -> Iterator[Tensor]:
    """The terms on logits."""
    for vocabulary in VOCABULARIES:
        for dtype in TYPES if vocabulary == VOCABULARIES[0] else (BF16,):
            for formula in ("labels", "kl", "cross_entropy"):
                student, teacher = _leaf(8, vocabulary, dtype=dtype), torch.zeros(8, vocabulary, dtype=dtype)
                if formula == "labels":
                    yield compare_logits(student, torch.zeros(8, dtype=torch.int64), formula)
                else:
                    yield compare_logits(student, teacher, formula, temperature=2.0, real=torch.ones(8).bool())


def maps() -> Iterator[Tensor]:
    """Attention and the terms on its maps, of packed sequences that read the projections in place."""
    layout = packed_layout(torch.tensor([0, LONGEST, TOKENS], dtype=torch.int32), LONGEST)
    seed = torch.ones(1, dtype=torch.int64)
    torch.set_float32_matmul_precision("high")
    for sizes in HEAD_SIZES:
        for dtype in TYPES if sizes == HEAD_SIZES[0] else (BF16,):
            (query, key, value), others = (_projections(size, dtype) for size in sizes)
            student, teacher = Maps(query, key, 0.125, DROPOUT, seed), Maps(*others[:2], 0.125, DROPOUT, seed)
            yield dropped_attention(student, value, layout).float().sum()
            yield compare_maps(student, teacher, layout, "kl")
            yield compare_maps(student, teacher, layout, "kl", by_keys=True)
            yield compare_maps(student, teacher, layout, "mse")
            yield compare_maps(student, teacher, layout, "score_mse")


def training() -> Iterator[Tensor]:
    """What a distillation to layers of 768 launches: ends of blocks and embeddings, activations, maps and logits."""
    ends: list[Any] = [({"dropout": DROPOUT}, True), ({}, True), ({"dropout": DROPOUT, "late": True}, False)]
    for options, adds in ends:
        states = _leaf(TOKENS, 768, dtype=BF16)
        residual = _leaf(TOKENS, 768) if adds else None
        output = residual_norm(states, residual, Norm(_leaf(768), _leaf(768), 1e-12), half=BF16, **options)
        yield output.sum() + half_of(output, BF16).float().sum()
    yield from itertools.islice(maps(), 5)
    yield from itertools.islice(logits(), 2)
    yield from itertools.islice(activations(), 2)


def trials() -> None:
    """Try all as at the start of a training, and find no difference."""
    fused_blocks.difference = map_choice.difference = logit_choice.difference = lambda *_: None
    place = torch.device("cpu")
    torch.set_float32_matmul_precision("high")
    assert fused_blocks.trial(place, BF16, [768], [(INNER[0], formula) for formula in FORMULAS]) is None
    assert map_choice.trial(place, BF16, HEAD_SIZES[0], LONGEST, map_entries()) is None
    terms: list[dict[str, Any]] = [{"term": "mlm"}, {"term": "logit_kl", "temperature": 2.0}]
    entries = read_objective([{"weight": 1.0, **term} for term in terms], {})
    assert logit_choice.trial(place, BF16, VOCABULARIES[0], entries) is None


CASES: tuple[Callable[[], Iterator[Tensor]], ...] = (norms, activations, logits, maps)


def _leaf(*shape: int, dtype: torch.dtype = FP32) -> Tensor:
    return torch.zeros(shape, dtype=dtype, requires_grad=True)


def _projections(size: int, dtype: torch.dtype) -> list[Tensor]:
    rows = [_leaf(1, TOKENS, HEADS * size, dtype=dtype) for _ in range(3)]
    return [one.unflatten(-1, (HEADS, size)).transpose(1, 2) for one in rows]


def compile_launches(capability: int) -> dict[int, tuple[str, dict[str, Any], Any]]:
    """Have launches compile from now on; return where their name, constants and program will be, each once."""
    answers: dict[str, Any] = {
        "get_current_target": lambda: GPUTarget("cuda", capability, 32),
        "get_current_device": lambda: 0,
        "get_current_stream": lambda device: 0,
    }
    driver.set_active(SimpleNamespace(**answers))
    compiled: dict[int, tuple[str, dict[str, Any], Any]] = {}
    seen: set[int] = set()
    run = JITFunction.run

    def compile_only(self: Any, *arguments: Any, grid: Any, warmup: bool, **constants: Any) -> None:
        made = run(self, *arguments, grid=grid, warmup=True, **constants)
        if id(made) not in seen:
            compiled[id(made)] = self.fn.__name__, constants, made
        seen.add(id(made))

    JITFunction.run = compile_only
    return compiled


def assembled(name: str, constants: dict[str, Any], made: Any) -> dict[str, Any]:
    """Bytes of shared memory and of the stack that registers are spilled to, and loads of two bytes."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as stream:
        stream.write(made.asm["cubin"])
        stream.flush()
        command = [str(CUOBJDUMP), "-res-usage", stream.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    stack = int(said.split("STACK:")[1].split()[0])
    narrow = len(re.findall(r"ld\.global(?:\.\w+)*\.b16", made.asm["ptx"]))
    return {"program": name, "shared": made.metadata.shared, "stack": stack, "narrow_loads": narrow, **constants}


if __name__ == "__main__":
    found = compile_launches(int(sys.argv[1]))
    cases = CASES
    if sys.argv[2:]:
        trials()
        found.clear()
        cases = (training,)
    for case in cases:
        for total in case():
            total.backward()
    for one in found.values():
        print(json.dumps(assembled(*one)))
