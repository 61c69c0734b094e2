"""Padded micro-batches of a few shapes: their fill changes neither loss nor gradients, and they take what fits."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from helpers import pretraining as tiny
from helpers.map_terms import INTERPRETED
from helpers.objectives import COUNT, assert_equal, distillation, masked_example, micro_batches
from hypothesis import given, settings
from hypothesis import strategies as st

from compactbio.kernels.programs import logits as logit_programs
from compactbio.kernels.programs import maps as map_programs
from compactbio.pretraining.padded_classes import PaddedClasses, plan_classes
from compactbio.terms.objective import read_objective

CASES = {
    "compact": (tiny.bert, tiny.COMPACT, tiny.REFERENCE),
    "compact, sound": (tiny.bert, tiny.COMPACT, tiny.SOUND),
    "tiny": (tiny.bert, tiny.TINY, tiny.REFERENCE),
    "tiny, sound": (tiny.bert, tiny.TINY, tiny.SOUND),
    "distil": (tiny.bert, tiny.DISTIL, tiny.REFERENCE),
    "mlm, mobilebert": (tiny.mobilebert, tiny.MLM, tiny.REFERENCE),
    "compact, roberta": (tiny.roberta, tiny.COMPACT, tiny.SOUND),
    "distil, modernbert": (tiny.modernbert, tiny.DISTIL, tiny.REFERENCE),
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def filled_micro_batches(classes: PaddedClasses):
    lengths, joined, inputs, selected = masked_example()
    ends = np.concatenate([[0], np.cumsum(lengths)])
    masked = np.add.reduceat(selected, ends[:-1], dtype=np.int64)
    made = []
    for start, end in classes.cuts(lengths, masked):
        part = slice(ends[start], ends[end])
        texts = {"original": joined[part], "inputs": inputs[part], "selected": selected[part]}
        made.append(classes.collate(lengths[start:end], **texts, pad_id=0))
    return made


@pytest.mark.parametrize(
    ("case", "kernels"),
    [
        *((case, False) for case in CASES),
        pytest.param("compact, sound", True, marks=INTERPRETED),
        pytest.param("tiny", True, marks=INTERPRETED),
    ],
)
def test_fill_changes_neither_loss_nor_gradients(case, kernels):
    build, objective, quirks = CASES[case]
    has_teacher = objective is not tiny.MLM
    models = build(seed=2), tiny.bert(layers=4, seed=1) if has_teacher else None
    over_padding = any(entry.term.over_padding for entry in read_objective(objective, quirks))
    border = int(build is tiny.mobilebert)
    lengths = (24,) if over_padding else (8, 16, 24)
    forms = [
        micro_batches([], to_max_length=over_padding, border=border),
        filled_micro_batches(PaddedClasses(lengths, 4 * 24, 40, border)),
        *([] if kernels else [filled_micro_batches(PaddedClasses(lengths, 20 * 24, 200, border))]),
    ]
    results = []
    for number, batches in enumerate(forms):
        module = distillation(*copy.deepcopy(models), objective, quirks)
        module.map_kernels = kernels and number > 0
        denominators = {name: sum(batch.counts[name] for batch in batches) for name in batches[0].counts}
        loss = torch.stack([module(batch.tensors, denominators) for batch in batches]).sum()
        loss.backward()
        results.append((loss.item(), {name: value.grad for name, value in module.named_parameters()}))
    for found in results[1:]:
        assert found[0] == pytest.approx(results[0][0], rel=1e-6)
        assert_equal(found[1], results[0][1], 5e-6)


class NoProgram:
    """A program that is started and does nothing."""

    def __getitem__(self, grid):
        return lambda *_, **__: None


@pytest.mark.parametrize("kernels", [False, True], ids=["written", "on the chip"])
@pytest.mark.parametrize("case", ["compact", "compact, sound", "tiny", "tiny, sound", "distil, modernbert"])
def test_a_pass_reads_no_value_of_the_device(case, kernels, monkeypatch):
    """Which a capture does not bear: forward and backward on tensors that have shapes and no values."""
    for name in ("attend", "attend_backward_queries", "attend_backward_keys", "compare", "compare_keys"):
        monkeypatch.setattr(map_programs, name, NoProgram())
    for name in ("row_values", "row_gradients"):
        monkeypatch.setattr(logit_programs, name, NoProgram())
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # there is none for such tensors
    build, objective, quirks = CASES[case]
    module = distillation(build(dropout=0.1), tiny.bert(layers=4, dropout=0.1, seed=1), objective, quirks)
    module.map_kernels = module.logit_kernels = kernels
    for one in module.computing_modules():
        one.to("meta")
    [batch] = filled_micro_batches(PaddedClasses((24,), 20 * 24, 200))
    tensors = {name: value.to("meta") for name, value in batch.tensors.items()}
    module(tensors, {name: torch.empty((), device="meta") for name in batch.counts}).backward()
    assert module.student.get_input_embeddings().weight.grad is not None


def test_shapes_are_few_and_hold_nothing_of_the_host():
    batches = filled_micro_batches(PaddedClasses((8, 16, 24), 48, 40))
    assert sum(batch.counts["sequences"] for batch in batches) == COUNT
    assert all(torch.is_tensor(value) for batch in batches for value in batch.tensors.values())
    assert {batch.tensors["input_ids"].shape for batch in batches} <= {(6, 8), (3, 16), (2, 24)}
    assert {batch.tensors["labels"].shape for batch in batches} == {(40,)}
    assert all(batch.fixed for batch in batches)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 24), min_size=1, max_size=30),
    rows=st.integers(1, 6),
    fraction=st.sampled_from([0.05, 0.5, 1.0]),
    border=st.integers(0, 1),
)
def test_every_sequence_is_held_once_and_fits(lengths, rows, fraction, border):
    classes = PaddedClasses((8, 16, 24), 24 * rows, 24 + 6 * rows, border)
    lengths = np.array(sorted(lengths, reverse=True))
    selected = np.random.default_rng(len(lengths)).random(lengths.sum()) < fraction
    ends = np.concatenate([[0], np.cumsum(lengths)])
    masked = np.add.reduceat(selected, ends[:-1], dtype=np.int64)
    joined = np.arange(lengths.sum()) % 97 + 5
    bounds = classes.cuts(lengths, masked)
    assert [begin for begin, _ in bounds] == [0, *[end for _, end in bounds[:-1]]]
    assert bounds[-1][1] == len(lengths)
    for begin, end in bounds:
        part = slice(ends[begin], ends[end])
        texts = {"original": joined[part], "inputs": joined[part], "selected": selected[part]}
        batch = classes.collate(lengths[begin:end], **texts, pad_id=0)
        tensors = {name: value.numpy() for name, value in batch.tensors.items()}
        real = tensors["real_tokens"]
        assert real.sum(-1)[: end - begin].tolist() == lengths[begin:end].tolist()
        assert not real[end - begin :].any()
        assert tensors["input_ids"][real].tolist() == joined[part].tolist()
        assert (tensors["input_ids"][~real] == 0).all()
        if border:  # the token after each shorter sequence is padding
            assert all(length == 24 or length < real.shape[1] for length in lengths[begin:end])
        counts = tensors["real_rows"]
        asked = tensors["input_ids"].ravel()[tensors["masked_positions"][counts]]
        assert asked.tolist() == tensors["labels"][counts].tolist() == joined[part][selected[part]].tolist()


def test_classes_follow_from_the_steps_and_memory():
    random = np.random.default_rng(5)
    steps = [np.sort(random.integers(20, 257, 192))[::-1] for _ in range(20)]
    options = {"max_length": 256, "border": 0, "fraction": 0.15}
    whole = plan_classes(steps, most_positions=192 * 256, to_max_length=True, **options)
    assert whole.lengths == (256,)
    assert whole.positions == 192 * 256  # every row is a sequence
    half = plan_classes(steps, most_positions=150 * 256, to_max_length=True, **options)
    assert half.positions == 96 * 256
    classes = plan_classes(steps, most_positions=16384, to_max_length=False, **options)
    assert classes.lengths == (64, 128, 192, 256)
    assert classes.positions <= 16384
    taken = np.mean([len(classes.cuts(one, (0.15 * one).astype(int))) for one in steps]) * classes.positions
    assert taken < 1.45 * np.mean([one.sum() for one in steps])
    assert plan_classes(steps, most_positions=10, to_max_length=True, **options).positions == 256
