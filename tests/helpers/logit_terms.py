"""Terms on logits: the kernels beside plain formulas in double precision, on any device."""

from __future__ import annotations

import math

import torch

from compactbio.kernels.logits import compare_logits
from helpers.map_terms import CPU, exact, relative

# formula, temperature
FORMULAS = [("labels", 1.0), ("kl", 1.0), ("kl", 2.5), ("kl", 0.5), ("cross_entropy", 1.0)]
COUNTS = (True, False, True, True)  # of some rows, in turn


def log_probabilities(logits):
    """By the definition, about each row's highest value."""
    logits = logits - logits.detach().amax(-1, keepdim=True)
    return logits - logits.exp().sum(-1, keepdim=True).log()


def plain_term(student, other, formula, temperature, counts):
    """Written out in double precision, row by row; other is labels or the teacher's logits."""
    values = []
    for row in [number for number, one in enumerate(counts.tolist()) if one]:
        if formula == "labels":
            values.append(-log_probabilities(student[row])[other[row]])
            continue
        ours = log_probabilities(student[row] / temperature)
        theirs = log_probabilities(other[row].double() / temperature)
        if formula == "kl":
            values.append(temperature**2 * (theirs.exp() * (theirs - ours)).sum())
        else:
            values.append(-(theirs.exp() * ours).sum())
    return torch.stack(values).sum()


def logits(rows, vocabulary, seed, *, dtype=torch.float32, device=CPU, spread=4.0):
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(rows, vocabulary, generator=generator)).to(device, dtype)


def counting(rows, device=CPU):
    return torch.tensor([COUNTS[row % len(COUNTS)] for row in range(rows)], device=device)


def labels_of(counts, vocabulary, device=CPU):
    """The last column is one of them."""
    drawn = torch.randint(vocabulary, (len(counts),), generator=torch.Generator().manual_seed(3))
    drawn[-1] = vocabulary - 1
    return drawn.to(device).masked_fill(~counts, -100)


def errors(student, teacher, case, *, fill=True) -> tuple[float, float]:
    """The relative differences of a term's sum and of its gradient.

    Args:
        fill: some rows do not count; the kernel finds numbers in them that are none.
    """
    formula, temperature = case
    counts = counting(len(student), student.device) if fill else torch.ones_like(student[:, 0], dtype=torch.bool)
    other = labels_of(counts, student.shape[1], student.device) if formula == "labels" else teacher
    [plain] = exact([student])
    expected = plain_term(plain, other, formula, temperature, counts)
    # a factor as the step's weight and denominator are one
    [slopes] = torch.autograd.grad(0.25 * expected, plain)
    given = student.detach().clone() if student.is_contiguous() else student.detach()
    if fill:
        given[~counts] = math.nan
    given.requires_grad_()
    real = counts if fill and formula != "labels" else None
    found = compare_logits(given, other, formula, temperature=temperature, real=real)
    [gradient] = torch.autograd.grad(0.25 * found, given)
    assert gradient.dtype == student.dtype and found.dtype == torch.float32
    assert gradient[~counts].count_nonzero() == 0
    return relative(found, expected), relative(gradient, slopes)
