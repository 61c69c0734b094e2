"""Terms on attention maps: the kernels beside the plain formulas in double precision, on any device."""

from __future__ import annotations

import os

import pytest
import torch

from compactbio.kernels.attention_maps import Layout, Maps, compare_maps, dropped_attention, padded_layout
from compactbio.terms.attention_maps import attention_kl, attention_mse
from helpers import map_dropout

# on a machine with a GPU (see tests/conftest.py) Triton compiles, and CPU tensors are none for it
INTERPRETED = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") != "1", reason="Triton compiles here: tests/gpu has the same on the GPU"
)
HEADS = 2
SEEDS = (5, 2**61 + 7)  # of student and teacher; both halves of the second count
# formula, by_keys, whether queries of padding count: each quirk of the two terms
FORMULAS = [
    ("kl", False, False),
    ("kl", True, False),
    ("mse", False, True),
    ("mse", False, False),
    ("score_mse", False, True),
    ("score_mse", False, False),
]
CPU = torch.device("cpu")


def inputs(lengths, size, seed, *, dtype=torch.float32, device=CPU):
    """Queries, keys and values."""
    generator = torch.Generator().manual_seed(seed)
    shape = (3, len(lengths), HEADS, max(lengths), size)
    return [one.to(device, dtype).requires_grad_() for one in torch.randn(shape, generator=generator)]


def real_tokens(lengths, device=CPU):
    return torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device)[:, None]


def layout_of(lengths, device=CPU) -> Layout:
    return padded_layout(len(lengths), max(lengths), real_tokens(lengths, device), device)


def plain_maps(query, key, real, seed, dropout):
    """Scores and probabilities, after a dropout of the kernels' draw."""
    scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    maps = scores.masked_fill(~real[:, None, None, :], torch.finfo(scores.dtype).min).softmax(-1)
    if dropout:
        drawn = map_dropout.factors(seed, len(query), query.shape[1], query.shape[2], dropout)
        maps = maps * drawn.to(maps.device)
    return scores, maps


def plain_term(student, teacher, real, formula, by_keys, over_padding):
    if formula == "kl":
        return attention_kl(student[1], teacher[1], real, own_length=by_keys)
    chosen = 0 if formula == "score_mse" else 1
    return attention_mse(student[chosen], teacher[chosen], real, over_padding=over_padding)


def relative(found, expected):
    return float((found.detach().double() - expected.detach()).norm() / expected.detach().norm())


def exact(tensors):
    return [one.detach().double().requires_grad_() for one in tensors]


def term_error(lengths, sizes, case, dropouts=(0.0, 0.0), *, dtype=torch.float32, device=CPU) -> float:
    """The largest relative difference of a term's sum and gradients."""
    formula, by_keys, over_padding = case
    real = real_tokens(lengths, device)
    student, teacher = (inputs(lengths, size, seed, dtype=dtype, device=device) for seed, size in enumerate(sizes))
    plain_student, plain_teacher = exact(student), exact(teacher)
    plain = [
        plain_maps(*one[:2], real, seed, dropout)
        for one, seed, dropout in zip((plain_student, plain_teacher), SEEDS, dropouts, strict=True)
    ]
    expected = plain_term(*plain, real, formula, by_keys, over_padding)
    maps = [
        Maps(*one[:2], one[0].shape[-1] ** -0.5, dropout, torch.tensor([seed], device=device) if dropout else None)
        for one, seed, dropout in zip((student, teacher), SEEDS, dropouts, strict=True)
    ]
    counting = layout_of(lengths, device).counting(padding_queries=over_padding)
    found = compare_maps(*maps, counting, formula, by_keys=by_keys)
    # a factor as the step's weight and denominator are one
    gradients = torch.autograd.grad(0.25 * found, student[:2])
    return max(
        relative(found, expected),
        *map(relative, gradients, torch.autograd.grad(0.25 * expected, plain_student[:2])),
    )


def attention_error(lengths, size, dropout, *, dtype=torch.float32, device=CPU) -> float:
    """The largest relative difference of attention's output and gradients."""
    leaves = inputs(lengths, size, 3, dtype=dtype, device=device)
    maps = Maps(*leaves[:2], size**-0.5, dropout, torch.tensor([SEEDS[1]], device=device))
    output = dropped_attention(maps, leaves[2], layout_of(lengths, device))
    plain = exact(leaves)
    dropped = plain_maps(*plain[:2], real_tokens(lengths, device), SEEDS[1], dropout)[1]
    expected = (dropped @ plain[2]).transpose(1, 2)
    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).to(device)
    found = torch.autograd.grad((output.float() * direction).sum(), leaves)
    gradients = torch.autograd.grad((expected * direction).sum(), plain)
    return max(relative(output, expected), *map(relative, found, gradients))
