"""Compiles the kernels for GPUs that are not here, and prints what their assembler says of each.

A program of its own: Triton decides at its import whether it interprets.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from compactbio.kernels import activated
from compactbio.kernels.attention_maps import KEYS, QUERIES, WARPS
from compactbio.kernels.logits import MOST_COLUMNS
from compactbio.kernels.logits import WARPS as LOGIT_WARPS
from compactbio.kernels.programs import activations, logits, maps, norms
from compactbio.kernels.residual_norm import ROWS, VALUES
from compactbio.kernels.residual_norm import WARPS as NORM_WARPS

CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
# types of what is passed, where they are not the default of `type_of`
POINTERS = {"STARTS": "*i32", "ROWS": "*i32", "KEYS": "*i32", "SEED": "*i64", "SEED_S": "*i64", "SEED_T": "*i64"}
POINTERS |= dict.fromkeys(("SUMS", "LOGS", "LOGS_S", "LOGS_T", "MEANS", "VALUES", "WEIGHT"), "*fp32")
POINTERS |= dict.fromkeys(("HIGHEST", "HIGHEST_T"), "*fp32")
POINTERS |= dict.fromkeys(("RESIDUAL", "W", "B", "OUTPUT", "TO_OUTPUT", "TO_RESIDUAL"), "*fp32")
POINTERS |= dict.fromkeys(("TO_W", "TO_B", "TO_X_BIAS", "TO_BIAS"), "*fp32")
POINTERS |= {"LABEL": "*i64", "REAL": "*i1"}
COMMON = {"BQ": QUERIES, "PRECISION": "ieee"}
ONE = {"SIZE": 64, "BLOCK": 64, "STEP": 16, **COMMON}
TWO = {"SIZE_S": 64, "BLOCK_S": 64, "SIZE_T": 64, "BLOCK_T": 64, "FORMULA": 0, "BY_KEYS": False, **COMMON}
TWO |= {"STEP_S": 16, "STEP_T": 16, "DROP_S": True, "DROP_T": True}
NORM = {
    "WIDTH": 768,
    "BLOCK": 1024,
    "TILE": VALUES // 1024,
    "ADDS": True,
    "DROPS": True,
    "NORMALISES": True,
    "DROPS_LATE": False,
}
NORM |= {"HALVES": True}
# the cased BERT's: rows of bf16 begin at multiples of 8 bytes, no more
VOCABULARY = 28_996
ROW = {"V": VOCABULARY, "BLOCK": MOST_COLUMNS, "STUDENT_STEP": 4, "TEACHER_STEP": 4}
# program, what it is compiled for, warps
PROGRAMS = [
    (maps.attend, {"N": 256, **ONE}, WARPS),
    (maps.attend_backward_queries, {"N": 256, **ONE}, WARPS),
    (maps.attend_backward_keys, {"BK": KEYS, **ONE}, WARPS),
    (maps.compare, {"N": 256, "BACKWARD": True, **TWO}, WARPS),
    (maps.compare_keys, {"BK": KEYS, **TWO}, WARPS),
    (norms.forward, {**NORM, "KEEPS": True}, NORM_WARPS),
    (norms.backward, {**NORM, "TILES": ROWS // NORM["TILE"], "WHOLE": True}, NORM_WARPS),
]
INNER = {"BLOCK": activated.BLOCK, "TILE": activated.TILE, "TILES": activated.TILES}
for formula in activated.FORMULAS.values():
    PROGRAMS.append((activations.backward, {"FORMULA": formula, **INNER}, activated.WARPS))
for formula in range(3):
    of_formula = {"FORMULA": formula, "FILL": True, **ROW}
    PROGRAMS += [
        (logits.row_values, of_formula, LOGIT_WARPS),
        (logits.row_gradients, {"GRADIENT_STEP": 4, **of_formula}, LOGIT_WARPS),
    ]


def compiled(function: Any, constants: dict[str, Any], warps: int, capability: int) -> dict[str, int | str]:
    """Bytes of shared memory and of the stack that registers are spilled to, and the registers of a thread."""

    def type_of(argument: str) -> str:
        if argument in constants:
            return "constexpr"
        if argument.isupper():
            return POINTERS.get(argument, "*bf16")
        return "fp32" if argument.startswith(("scale", "kept", "epsilon", "factor")) else "i32"

    names = function.arg_names
    # what Triton finds at a call: addresses are multiples of 16, and so are feed-forward parts' widths
    aligned = [one for one in names if one not in constants and (one.isupper() or one == "width")]
    source = ASTSource(
        fn=function,
        signature={argument: type_of(argument) for argument in names},
        constexprs={(names.index(argument),): value for argument, value in constants.items()},
        attrs={(names.index(argument),): [["tt.divisibility", 16]] for argument in aligned},
    )
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})
    with tempfile.NamedTemporaryFile(suffix=".cubin") as stream:
        stream.write(made.asm["cubin"])
        stream.flush()
        command = [str(CUOBJDUMP), "-res-usage", stream.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    stack, registers = (int(said.split(f"{name}:")[1].split()[0]) for name in ("STACK", "REG"))
    return {
        "program": function.__name__,
        "capability": capability,
        "shared": made.metadata.shared,
        "stack": stack,
        "registers": registers,
        "wide_loads": made.asm["ptx"].count("ld.global.v"),  # of 8 or 16 bytes
    }


if __name__ == "__main__":
    for capability in map(int, sys.argv[1:]):
        for program in PROGRAMS:
            print(json.dumps(compiled(*program, capability)), flush=True)
