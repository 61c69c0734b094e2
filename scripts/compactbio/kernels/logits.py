"""Terms on logits that are read once forward and once backward, in place of copies in fp32.

The plain formulas (`terms.logits`) read and write the logits (m, vocabulary) of both models in fp32, their log-softmax,
products and gradients: some 60 bytes for each bf16 value of a student with the terms `mlm` and `logit_kl`. Here a
program goes over a row and leaves its value, its highest logit and the logarithm of its sum of powers, with which the
backward pass forms the probabilities again and writes the gradient alone, in the logits' type. Arithmetic is fp32.

Each row's value is written, and torch adds them up: a step has the same bits each time. Nothing is read by the host, so
that a pass can be captured.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from compactbio.kernels.sizes import in_steps, power_of_two

# of a program: nothing is spilled on sm_80 and sm_90 (ptxas); no GPU has compared others
MOST_COLUMNS, WARPS = 2048, 4


def compare_logits(
    student: Tensor, other: Tensor, formula: str, *, temperature: float = 1.0, real: Tensor | None = None
) -> Tensor:
    """Return a term's sum over rows of student logits (m, v), a scalar in fp32; gradients go to these logits alone.

    Args:
        other: labels (m,), -100 marks what does not count; else the teacher's logits (m, v).
        formula: `labels`, -log softmax(student)[label]; `kl`, T^2 KL(teacher || student) of logits divided by T;
            `cross_entropy`, -sum p_teacher log p_student.
        temperature: T, of `kl` alone.
        real: (m,) bool, the rows that count; None for all. What others hold reaches nothing.

    Raises:
        ValueError: the shapes do not fit, which a kernel would read beside them for.
    """
    if (student.shape[:1] if formula == "labels" else student.shape) != other.shape:
        raise ValueError(f"{formula} of logits {tuple(student.shape)} and {tuple(other.shape)}: their shapes differ")
    total: Tensor = _Comparison.apply(_rows(student), _rows(other.detach()), real, formula, temperature)
    return total


class _Comparison(torch.autograd.Function):
    """See `compare_logits`."""

    @staticmethod
    def forward(
        ctx: Any, student: Tensor, other: Tensor, real: Tensor | None, formula: str, temperature: float
    ) -> Tensor:
        from compactbio.kernels.programs import logits as programs

        # tensors of their own, for Triton compiles once more where an address is no multiple of 16
        values, *sums = (torch.empty(len(student), dtype=torch.float32, device=student.device) for _ in range(5))
        # arguments that a formula does not read are given any tensor
        teacher, labels = (values, other) if formula == "labels" else (other, values)
        read = (student, teacher, labels, values if real is None else real)
        (ours, our_step), (theirs, their_step) = (in_steps(one.stride(0)) for one in (student, teacher))
        ctx.steps = *ours, *theirs
        ctx.scale, ctx.factor = math.log2(math.e) / temperature, temperature
        ctx.constants = {"V": student.shape[1], "STUDENT_STEP": our_step, "TEACHER_STEP": their_step}
        ctx.constants |= {"BLOCK": min(MOST_COLUMNS, power_of_two(student.shape[1])), "num_warps": WARPS}
        ctx.constants |= {"FORMULA": _FORMULAS[formula], "FILL": real is not None}
        programs.row_values[(len(student),)](
            *read, values, *sums, *ctx.steps, ctx.scale, temperature**2 * math.log(2.0), **ctx.constants
        )
        ctx.save_for_backward(*read, *sums)
        return values.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from compactbio.kernels.programs import logits as programs

        read, sums = ctx.saved_tensors[:4], ctx.saved_tensors[4:]
        to_student = torch.empty_like(read[0], memory_format=torch.contiguous_format)
        steps, step = in_steps(to_student.stride(0))
        # T^2 of the formula, divided by T for that of the logits
        programs.row_gradients[(len(to_student),)](
            *read, gradient, to_student, *sums, *ctx.steps, *steps, ctx.scale, ctx.factor, **ctx.constants,
            GRADIENT_STEP=step,
        )  # fmt: skip
        return to_student, *[None] * 4


_FORMULAS = {"labels": 0, "kl": 1, "cross_entropy": 2}  # numbers of `programs.logits`


def _rows(tensor: Tensor) -> Tensor:
    """Return a tensor whose last dimension is contiguous."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()
