"""Distances of rows, with gradients by formula: autograd would write and read (n, hidden) twice as often."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.linalg import vector_norm


def cosines(student: Tensor, teacher: Tensor, epsilon: float) -> Tensor:
    """Return the cosine (n,) of each row of two float32 (n, hidden); gradients go to the student's.

    Args:
        epsilon: is added to squared norms.
    """
    cosine: Tensor = _Cosines.apply(student, teacher, epsilon)
    return cosine


def squared_distances(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the sum (n,) float32 of the squared differences of each row of two (n, hidden); gradients go to the
    student's, of its type.
    """
    distances: Tensor = _SquaredDistances.apply(student, teacher)
    return distances


class _Cosines(torch.autograd.Function):
    """c = s t / (S T)^(1/2) of rows s and t, S and T their squared norms; dc/ds = t / (S T)^(1/2) - s c / S."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, epsilon: float) -> Tensor:
        ours, theirs = (vector_norm(rows, dim=-1).square() + epsilon for rows in (student, teacher))
        inverse = (ours * theirs).rsqrt()
        cosine = (student * teacher).sum(-1) * inverse
        ctx.save_for_backward(student, teacher, inverse, cosine / ours)
        return cosine

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        student, teacher, inverse, shrinking = ctx.saved_tensors
        to_student = student * (-gradient * shrinking)[:, None]
        return to_student.addcmul_(teacher, (gradient * inverse)[:, None]), None, None


class _SquaredDistances(torch.autograd.Function):
    """The sum of (s - t)^2 over rows s and t, in float32; its derivative by s is 2 (s - t)."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        differences = student - teacher.float()
        ctx.save_for_backward(differences)
        ctx.dtype = student.dtype
        return vector_norm(differences, dim=-1).square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (differences,) = ctx.saved_tensors
        to_student = torch.empty_like(differences, dtype=ctx.dtype)
        return torch.mul(differences, 2.0 * gradient[:, None], out=to_student), None
