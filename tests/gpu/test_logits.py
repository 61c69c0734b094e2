"""The kernels of terms on logits on the device itself: the formulas, in every precision, to the same bits each time."""

from __future__ import annotations

import pytest
import torch
from helpers.logit_terms import FORMULAS, counting, errors, labels_of, logits

from compactbio.kernels.logit_choice import logit_refusal, trial
from compactbio.kernels.logits import compare_logits
from compactbio.terms.objective import read_objective

TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
VALUE = 1e-5  # of a sum, which is fp32 everywhere
LIMITS = {"fp32": 1e-5, "tf32": 1e-5, "bf16": 4e-3, "fp16": 1e-3}
ENTRIES = read_objective(
    [
        {"term": "mlm", "weight": 1.0},
        {"term": "logit_kl", "weight": 1.0, "temperature": 2.0},
        {"term": "soft_cross_entropy", "weight": 1.0},
    ],
    {},
)


def sizes(device):
    """Rows, and vocabularies: BERT's, one whose rows begin at any address, a small one."""
    return (64, (28_996, 30_523, 130)) if device.type == "cuda" else (4, (3_000, 131))


def precisions(device):
    """The interpreter rounds no bf16 as a GPU does."""
    return TYPES if device.type == "cuda" else {"fp32": torch.float32, "fp16": torch.float16}


@pytest.mark.parametrize("case", FORMULAS, ids=str)
def test_terms_on_logits_are_the_plain_formulas(case, device):
    rows, vocabularies = sizes(device)
    for precision, dtype in precisions(device).items():
        for vocabulary in vocabularies:
            student, teacher = (logits(rows, vocabulary, seed, dtype=dtype, device=device) for seed in (0, 1))
            for fill in (False, True):
                value, gradient = errors(student, teacher, case, fill=fill)
                assert value < VALUE and gradient < LIMITS[precision], (precision, vocabulary, fill)


@pytest.mark.parametrize("case", FORMULAS, ids=str)
def test_the_same_bits_each_time(case, device):
    rows, (vocabulary, *_) = sizes(device)
    student, teacher = (logits(rows, vocabulary, seed, dtype=torch.float16, device=device) for seed in (0, 1))
    other = labels_of(counting(rows, device), vocabulary, device) if case[0] == "labels" else teacher
    results = []
    for _ in range(3):
        leaf = student.clone().requires_grad_()
        total = compare_logits(leaf, other, case[0], temperature=case[1])
        results.append((total.detach(), *torch.autograd.grad(total, leaf)))
    for again in results[1:]:
        assert all(torch.equal(one, other) for one, other in zip(results[0], again, strict=True))


def test_the_trial_agrees_and_the_kernels_are_taken(device):
    vocabulary = sizes(device)[1][0]
    for precision, dtype in precisions(device).items():
        assert trial(device, dtype, vocabulary, ENTRIES) is None
        refused = logit_refusal(device, precision=precision, vocabulary=vocabulary, entries=ENTRIES)
        assert refused == (None if device.type == "cuda" else "the kernels are for GPUs")
