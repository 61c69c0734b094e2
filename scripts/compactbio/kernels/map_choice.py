"""Whether the kernels for attention maps are used: what they need, and a trial against the plain formulas."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from compactbio.kernels.attention_maps import Layout, Maps, compare_maps, dropped_attention, padded_layout
from compactbio.kernels.choice import difference, refusal
from compactbio.kernels.draws import draw_seed
from compactbio.terms.attention_maps import attention_kl
from compactbio.training.devices import tensor_type

MOST_KEYS = 256  # a row of student's and teacher's probabilities fits into the registers of a program
LARGEST_HEAD = 128
AGREEMENT = 0.03  # largest relative difference of a trial's results in half precision and TF32
TRIAL_LENGTHS, TRIAL_HEADS, TRIAL_DROPOUT = (16, 7, 0), 2, 0.25


def map_refusal(device: torch.device, *, precision: str, longest: int, head_sizes: tuple[int, int]) -> str | None:
    """Return why maps have to be written out, or None where the kernels take their place.

    Args:
        precision: fp32, tf32, bf16 or fp16.
        longest: the largest number of tokens of a sequence.
        head_sizes: of student and teacher.
    """
    reasons = {
        "in fp32 the kernels have no tensor cores to multiply with": precision == "fp32",
        f"sequences of up to {longest} tokens are longer than the {MOST_KEYS} that fit on the chip": longest
        > MOST_KEYS,
        f"attention heads of {max(head_sizes)} values are larger than {LARGEST_HEAD}": max(head_sizes) > LARGEST_HEAD,
    }
    unfit = next((reason for reason, holds in reasons.items() if holds), None)
    dtype = tensor_type(precision)
    return refusal(device, lambda: trial(device, dtype, head_sizes, longest), unfit)


def trial(device: torch.device, dtype: torch.dtype, head_sizes: tuple[int, int], longest: int) -> str | None:
    """Return what of a small example differs from the plain formulas, dropout and gradients included, or None.

    The programs are compiled for sequences of up to `longest` tokens, as a training's are: those for shorter ones need
    less of the chip.
    Where the values are the unit vectors, attention's output is its maps after dropout: so the plain formula gets the
    very draw, and a term that drew another would be far off.
    """
    length = max(TRIAL_LENGTHS)
    lengths = torch.tensor(TRIAL_LENGTHS, device=device)
    real = torch.arange(length, device=device) < lengths[:, None]
    layout = replace(padded_layout(len(lengths), length, real, device), longest=longest)
    student, teacher = (_draw(device, dtype, size, length, seed) for seed, size in enumerate(head_sizes))
    draws = [_factors(maps, layout, length) for maps in (student, teacher)]
    value = torch.randn_like(student.query.detach()).requires_grad_()
    leaves = [student.query, student.key, value]
    found = _results(
        leaves,
        dropped_attention(student, value, layout),
        compare_maps(student, teacher, layout.counting(padding_queries=False), "kl"),
    )
    ours, theirs = (_plain_maps(maps, real) * draw for maps, draw in zip((student, teacher), draws, strict=True))
    expected = _results(
        leaves,
        (ours.to(dtype) @ value).transpose(1, 2),
        attention_kl(ours, theirs.detach(), real, own_length=False),
    )
    return difference(("output", "term", "queries", "keys", "values"), found, expected, AGREEMENT)


def _draw(device: torch.device, dtype: torch.dtype, size: int, length: int, seed: int) -> Maps:
    """Return random queries and keys with dropout."""
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, len(TRIAL_LENGTHS), TRIAL_HEADS, length, size, generator=generator)
    query, key = (one.to(device, dtype).requires_grad_() for one in (query, key))
    return Maps(query, key, size**-0.5, TRIAL_DROPOUT, draw_seed(device))


@torch.no_grad()
def _factors(maps: Maps, layout: Layout, length: int) -> Tensor:
    """Return what dropout multiplied the probabilities (b, heads, length, keys) with."""
    unit = torch.eye(length, maps.query.shape[-1], dtype=maps.query.dtype, device=maps.query.device)
    output = dropped_attention(maps, unit.expand(*maps.query.shape[:2], -1, -1), layout)
    return (output[..., :length].transpose(1, 2) != 0).float() / (1.0 - TRIAL_DROPOUT)


def _plain_maps(maps: Maps, real: Tensor) -> Tensor:
    """Return probabilities (b, heads, length, keys) in fp32."""
    scores = maps.query.float() @ maps.key.float().transpose(2, 3) * maps.scale
    return scores.masked_fill(~real[:, None, None, :], torch.finfo(torch.float32).min).softmax(-1)


def _results(leaves: list[Tensor], output: Tensor, term: Tensor) -> list[Tensor]:
    """Return output and term, and the gradients of both together."""
    gradients = torch.autograd.grad(output.float().square().sum() + term, leaves)
    return [output.detach(), term.detach(), *gradients]
