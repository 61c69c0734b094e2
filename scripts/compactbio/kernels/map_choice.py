"""Whether the kernels for attention maps are used: what they need, and a trial against the plain formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from compactbio.kernels.attention_maps import Layout, Maps, compare_maps, dropped_attention, padded_layout
from compactbio.kernels.choice import difference, refusal, unit_values
from compactbio.kernels.draws import draw_seed
from compactbio.terms.objective import Entry
from compactbio.terms.term import SCORES
from compactbio.training.devices import tensor_type

MOST_KEYS = 256  # a row of student's and teacher's probabilities fits into the registers of a program
LARGEST_HEAD = 128
AGREEMENT = 0.03  # largest relative difference of a trial's results in half precision and TF32
TRIAL_LENGTHS, TRIAL_HEADS, TRIAL_DROPOUT = (16, 7, 0), 2, 0.25


def map_refusal(
    device: torch.device, *, precision: str, longest: int, head_sizes: tuple[int, int], entries: Sequence[Entry]
) -> str | None:
    """Return why maps have to be written out, or None where the kernels take their place.

    Args:
        precision: fp32, tf32, bf16 or fp16.
        longest: the largest number of tokens of a sequence.
        head_sizes: of student and teacher.
        entries: of the objective, those on maps that a kernel can give.
    """
    reasons = {
        "in fp32 the kernels have no tensor cores to multiply with": precision == "fp32",
        "in fp16 their gradients would be rounded before the loss is scaled": precision == "fp16",
        f"sequences of up to {longest} tokens are longer than the {MOST_KEYS} that fit on the chip": longest
        > MOST_KEYS,
        f"attention heads of {max(head_sizes)} values are larger than {LARGEST_HEAD}": max(head_sizes) > LARGEST_HEAD,
    }
    unfit = next((reason for reason, holds in reasons.items() if holds), None)
    dtype = tensor_type(precision)
    return refusal(device, lambda: trial(device, dtype, head_sizes, longest, entries), unfit)


def trial(
    device: torch.device, dtype: torch.dtype, head_sizes: tuple[int, int], longest: int, entries: Sequence[Entry]
) -> str | None:
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
    sides = [_draw(device, dtype, size, length, seed) for seed, size in enumerate(head_sizes)]
    draws = [_factors(maps, layout, length) for maps in sides]
    student, value = sides[0], torch.randn_like(sides[0].query.detach()).requires_grad_()
    scores, maps = zip(*(_plainly(one, real, draw) for one, draw in zip(sides, draws, strict=True)), strict=True)
    output = (maps[0].to(dtype) @ value).transpose(1, 2)
    leaves = [student.query, student.key, value]
    outputs = dropped_attention(student, value, layout), output
    found, expected = ([one.detach(), *_gradients(one.float().square().sum(), leaves)] for one in outputs)
    if differs := difference(("output", "queries", "keys", "values"), found, expected, AGREEMENT):
        return differs
    for entry in entries:
        term = entry.term
        assert term.on_chip is not None
        counting = layout.counting(padding_queries=term.over_padding)
        ours, theirs = scores if SCORES in term.reads else maps
        totals = (
            compare_maps(sides[0], sides[1], counting, **term.on_chip),
            term.function(ours, theirs.detach(), real, **entry.arguments),
        )
        # by a factor, as that of a step is one
        found, expected = ([one.detach(), *_gradients(0.25 * one, leaves[:2])] for one in totals)
        names = (term.name, f"gradients of {term.name} for queries", f"gradients of {term.name} for keys")
        if differs := difference(names, found, expected, AGREEMENT):
            return differs
    return None


def _draw(device: torch.device, dtype: torch.dtype, size: int, length: int, seed: int) -> Maps:
    """Return random queries and keys with dropout."""
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, len(TRIAL_LENGTHS), TRIAL_HEADS, length, size, generator=generator)
    query, key = (one.to(device, dtype).requires_grad_() for one in (query, key))
    return Maps(query, key, size**-0.5, TRIAL_DROPOUT, draw_seed(device))


@torch.no_grad()
def _factors(maps: Maps, layout: Layout, length: int) -> Tensor:
    """Return what dropout multiplied the probabilities (b, heads, length, keys) with."""
    places = torch.arange(length, device=maps.query.device)
    outputs = [
        dropped_attention(maps, unit.expand(*maps.query.shape[:2], -1, -1), layout)
        for unit in unit_values(places, length, maps.query)
    ]
    return (torch.cat(outputs, -1)[..., :length].transpose(1, 2) != 0).float() / (1.0 - TRIAL_DROPOUT)


def _plainly(maps: Maps, real: Tensor, draw: Tensor) -> tuple[Tensor, Tensor]:
    """Return scores and probabilities after dropout, (b, heads, length, keys) in fp32."""
    scores = maps.query.float() @ maps.key.float().transpose(2, 3) * maps.scale
    unseen = ~real[:, None, None, :]
    return scores, scores.masked_fill(unseen, torch.finfo(torch.float32).min).softmax(-1) * draw


def _gradients(total: Tensor, leaves: list[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradients of a total, what led to which is kept."""
    return torch.autograd.grad(total, leaves, retain_graph=True)
