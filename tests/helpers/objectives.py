"""Loss and gradients of an objective, ours on micro-batches and the plain formulas on the whole batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compactbio.benchmarks import reference as plain
from compactbio.pretraining.distillation import Distillation
from compactbio.pretraining.fixed_shape import FixedShape, collate_fixed, shape_for
from compactbio.pretraining.micro_batches import collate
from compactbio.terms.objective import read_objective
from compactbio.training.cuts import padded_length
from helpers import pretraining as tiny

COUNT = 9  # sequences
# one shape for any part of them: the first is half fill, the second nearly full where all are in one micro-batch
ROOMY, CLOSE = (
    shape_for(positions, COUNT, max_length=tiny.MAX_LENGTH, fraction=0.2, kernel="unpacked") for positions in (320, 128)
)


def masked_example(seed: int = 3):
    """Sequences from long to short, with inputs and choices as the masking would make them."""
    random = np.random.default_rng(seed)
    original = sorted(tiny.sequences(COUNT, seed), key=len, reverse=True)
    lengths = np.array([len(sequence) for sequence in original])
    joined = np.concatenate(original)
    selected = (random.random(len(joined)) < 0.25) & (joined > 4)
    selected[-lengths[-1] :] = False  # the last sequence has nothing to predict
    inputs = np.where(selected, 4, joined)
    return lengths, joined, inputs, selected


def micro_batches(
    cuts: list[int],
    *,
    to_max_length: bool = False,
    border: int = 0,
    packed: bool = False,
    fixed: FixedShape | None = None,
):
    lengths, joined, inputs, selected = masked_example()
    ends = np.concatenate([[0], np.cumsum(lengths)])
    made = []
    for start, end in zip([0, *cuts], [*cuts, COUNT], strict=True):
        part = slice(ends[start], ends[end])
        texts = {"original": joined[part], "inputs": inputs[part], "selected": selected[part]}
        if fixed is not None:
            made.append(collate_fixed(lengths[start:end], **texts, shape=fixed, pad_id=0))
            continue
        made.append(
            collate(
                lengths[start:end],
                **texts,
                length=None
                if packed
                else padded_length(
                    int(lengths[start]), max_length=tiny.MAX_LENGTH, to_max_length=to_max_length, border=border
                ),
                pad_id=0,
                max_length=tiny.MAX_LENGTH,
            )
        )
    return made


def distillation(student, teacher, objective, quirks):
    return Distillation(
        student, teacher, read_objective(objective, quirks), quirks, max_length=tiny.MAX_LENGTH, seed=5
    ).train()


def ours(student, teacher, objective, quirks, cuts, border=0, packed=False, fixed=None):
    """Loss, gradients by name, and the module."""
    module = distillation(student, teacher, objective, quirks)
    if teacher is not None:
        teacher.eval()  # dropout is 0 in these models
    over_padding = any(entry.term.over_padding for entry in module.objective)
    batches = micro_batches(cuts, to_max_length=over_padding, border=border, packed=packed, fixed=fixed)
    denominators = {name: sum(batch.counts[name] for batch in batches) for name in batches[0].counts}
    total = 0.0
    for batch in batches:
        loss = module(batch.tensors, denominators)
        loss.backward()
        assert sum(module.last_terms.values()) == pytest.approx(loss.item(), rel=1e-5)
        total += loss.item()
    return total, {name: value.grad.clone() for name, value in module.named_parameters()}, module


def plainly(student, teacher, formula, projection=None):
    lengths, joined, inputs, selected = masked_example()
    cut = np.cumsum(lengths)[:-1]
    ids, mask = plain.padded_batch([part.tolist() for part in np.split(inputs, cut)], tiny.MAX_LENGTH)
    labels, _ = plain.padded_batch(
        [part.tolist() for part in np.split(np.where(selected, joined, -100), cut)], tiny.MAX_LENGTH
    )
    labels[mask == 0] = -100
    with torch.no_grad():
        target = plain.run(teacher, ids, mask) if teacher is not None else None
    output = plain.run(student, ids, mask)
    arguments = [output, target, labels, mask] if teacher is not None else [output, labels]
    loss = formula(*arguments, *([projection] if projection is not None else []))
    loss.backward()
    gradients = {f"student.{name}": value.grad for name, value in student.named_parameters()}
    if projection is not None:
        gradients |= {f"projection.{name}": value.grad for name, value in projection.named_parameters()}
    return loss.item(), gradients


def assert_equal(ours_gradients, plain_gradients, tolerance=1e-5):
    assert ours_gradients.keys() == plain_gradients.keys()
    difference = sum((ours_gradients[name] - plain_gradients[name]).square().sum() for name in plain_gradients)
    size = sum(value.square().sum() for value in plain_gradients.values())
    assert (difference / size).sqrt() < tolerance
