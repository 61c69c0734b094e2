"""Micro-batches of one shape: their fill changes neither loss nor gradients, and they take what fits."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import pretraining as tiny
from helpers.objectives import CLOSE, COUNT, ROOMY, assert_equal, distillation, masked_example, micro_batches, ours
from hypothesis import given, settings
from hypothesis import strategies as st

from compactbio.pretraining.fixed_shape import IGNORED, collate_fixed, rows_of, shape_for
from compactbio.pretraining.shape_sizes import MOST_SIZES, plan_shapes, sequences_in
from compactbio.terms.objective import read_objective

LAYERS = [[1, 2], [2, 4]]
HIDDEN = [
    {"term": "hidden_mse", "weight": 1.0, "layers": [[0, 0], *LAYERS]},
    {"term": "soft_cross_entropy", "weight": 1.0},
    {"term": "logit_kl", "weight": 2.0, "temperature": 2.0},
]
CASES = {
    "mlm, bert": (tiny.bert, {}, tiny.MLM, False),
    "mlm, distilbert": (tiny.distilbert, {}, tiny.MLM, False),
    "mlm, mobilebert": (tiny.mobilebert, {}, tiny.MLM, False),
    "mlm, roberta": (tiny.roberta, {}, tiny.MLM, False),
    "distil": (tiny.bert, {}, tiny.DISTIL, True),
    "distil, electra": (tiny.electra, {}, tiny.DISTIL, True),
    "hidden states, projected": (tiny.bert, {"hidden": 16}, HIDDEN, True),
    "logits alone, distilbert": (tiny.distilbert, {}, HIDDEN[1:], True),
    "logits alone, mobilebert": (tiny.mobilebert, {}, HIDDEN[1:], True),
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cuts", [[], [1, 2, 3, 8]], ids=str)
def test_fill_changes_neither_loss_nor_gradients(case, cuts, kind):
    """More or less fill: not by 1e-6 in fp32. Beside packed sequences one by one: rounding, which fp64 shows."""
    build, options, objective, has_teacher = CASES[case]
    if kind is torch.float64 and "projected" in case:
        return  # the projection is made in fp32
    teacher = tiny.bert(layers=4, seed=1).to(kind) if has_teacher else None
    student = build(**options, seed=2).to(kind)
    assert all(entry.term.takes_fill for entry in read_objective(objective, tiny.SOUND))
    found = {}
    for name, layout in {"packed": {"packed": True}, "roomy": {"fixed": ROOMY}, "close": {"fixed": CLOSE}}.items():
        models = copy.deepcopy(student), copy.deepcopy(teacher)
        found[name] = ours(*models, objective, tiny.SOUND, cuts, **layout)[:2]
    assert found["roomy"][0] == pytest.approx(found["close"][0], rel=1e-6)
    assert_equal(found["roomy"][1], found["close"][1], 1e-6)
    assert found["roomy"][0] == pytest.approx(found["packed"][0], rel=1e-6)  # sums of terms are in fp32
    assert_equal(found["roomy"][1], found["packed"][1], 5e-6 if kind is torch.float32 else 1e-13)


@pytest.mark.parametrize("build", tiny.BUILDS.values(), ids=tiny.BUILDS)
def test_what_stands_in_the_fill_is_never_read(build):
    """Other ids, and other labels of rows that do not count for terms of a teacher: not a bit is another."""
    options = {"types": "aa"} if build is tiny.modernbert else {}  # no kernel knows a window
    module = distillation(build(seed=3, **options), tiny.bert(layers=4, seed=1), [*HIDDEN[1:], *tiny.MLM], tiny.SOUND)
    [batch] = micro_batches([], fixed=ROOMY)
    losses, gradients = [], []
    for ids in (0, 7):
        tensors = dict(batch.tensors)
        tensors["input_ids"] = tensors["input_ids"].masked_fill(~tensors["real_tokens"], ids)
        module.zero_grad()
        loss = module(tensors, batch.counts)
        loss.backward()
        losses.append(loss.item())
        gradients.append([value.grad for value in module.parameters()])
    assert losses[0] == losses[1]
    assert all(map(torch.equal, *gradients))


@pytest.mark.parametrize("case", CASES)
def test_a_pass_reads_no_value_of_the_device(case):
    """Which a capture does not bear: forward and backward on tensors that have shapes and no values, by the kernel."""
    build, options, objective, has_teacher = CASES[case]
    teacher = tiny.bert(layers=4, dropout=0.1) if has_teacher else None
    module = distillation(build(dropout=0.1, **options), teacher, objective, tiny.SOUND)
    [batch] = micro_batches([], fixed=replace(ROOMY, kernel="flash"))
    for one in module.computing_modules():
        one.to("meta")
    tensors = {name: value.to("meta") if torch.is_tensor(value) else value for name, value in batch.tensors.items()}
    loss = module(tensors, {name: torch.empty((), device="meta") for name in batch.counts})
    loss.backward()
    assert loss.shape == ()
    assert module.student.get_input_embeddings().weight.grad is not None


def test_counts_are_those_of_packed_micro_batches():
    for fixed, packed in zip(micro_batches([2, 5], fixed=ROOMY), micro_batches([2, 5], packed=True), strict=True):
        assert fixed.counts == packed.counts
        assert (fixed.fixed, packed.fixed) == (True, False)


def test_all_micro_batches_have_one_shape_and_hold_nothing_of_the_host():
    batches = [*micro_batches([1, 2, 8], fixed=ROOMY), *micro_batches([], fixed=ROOMY)]
    forms = {
        tuple((name, value.shape, value.dtype) for name, value in batch.tensors.items() if torch.is_tensor(value))
        for batch in batches
    }
    assert len(forms) == 1
    assert {(batch.tensors["kernel"], batch.tensors["longest"]) for batch in batches} == {("unpacked", tiny.MAX_LENGTH)}


LENGTHS = st.lists(st.integers(2, 24), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(
    lengths=LENGTHS, positions=st.integers(1, 6), fraction=st.sampled_from([0.05, 0.15, 1.0]), seed=st.integers(0, 9)
)
def test_every_sequence_is_held_once_and_no_sequence_is_too_long_or_asked_nothing(lengths, positions, fraction, seed):
    shape = shape_for(64 * positions, 7, max_length=24, fraction=fraction, kernel="unpacked")
    lengths = np.array(sorted(lengths, reverse=True))
    tokens, sequences, rows = shape.capacity
    random = np.random.default_rng(seed)
    selected = random.random(lengths.sum()) < fraction
    ends = np.concatenate([[0], np.cumsum(lengths)])
    masked = np.add.reduceat(selected, ends[:-1], dtype=np.int64)
    bounds = shape.cuts(lengths, masked)
    assert [begin for begin, _ in bounds] == [0, *[end for _, end in bounds[:-1]]]
    assert bounds[-1][1] == len(lengths)
    joined = np.arange(lengths.sum()) % 97 + 5
    for begin, end in bounds:
        part = slice(ends[begin], ends[end])
        assert lengths[begin:end].sum() <= tokens
        assert end - begin <= sequences
        assert rows_of(masked[begin:end]).sum() <= rows
        batch = collate_fixed(
            lengths[begin:end],
            original=joined[part],
            inputs=joined[part],
            selected=selected[part],
            shape=shape,
            pad_id=0,
        )
        tensors = {name: value.numpy() for name, value in batch.tensors.items() if torch.is_tensor(value)}
        held, asked = np.diff(tensors["boundaries"]), np.diff(tensors["masked_boundaries"])
        assert len(held) == len(asked) == shape.slots
        assert held[: end - begin].tolist() == lengths[begin:end].tolist()
        assert held.sum() == tensors["input_ids"].size == shape.positions
        assert asked.sum() == len(tensors["labels"]) == shape.rows
        assert max(held.max(), asked.max()) <= 24
        assert ((held > 0) == (asked > 0)).all()
        assert tensors["real_tokens"].sum() == lengths[begin:end].sum()
        # rows are in the order of sequences, and ask for tokens of their own sequence
        number = np.searchsorted(tensors["boundaries"][1:], tensors["masked_positions"], side="right")
        assert number.tolist() == np.repeat(np.arange(shape.slots), asked).tolist()
        real = tensors["real_rows"]
        assert tensors["labels"][real].tolist() == joined[part][selected[part]].tolist()
        assert (tensors["labels"][~real] == IGNORED).all()
        assert tensors["position_ids"].max() < 24


OPTIONS = {"max_length": 256, "fraction": 0.15, "kernel": "flash"}


def steps_of(count, seed):
    random = np.random.default_rng(seed)
    return [np.sort(random.integers(60, 257, 192))[::-1] for _ in range(count)]


@pytest.mark.parametrize(("most", "parts"), [(65536, 1), (16384, 2), (8192, 4)])
def test_sizes_follow_from_the_steps_and_memory(most, parts):
    """In as few micro-batches as memory takes, little of which is fill, in other steps than those planned for too."""
    planned = steps_of(64, 5)
    shapes = plan_shapes(planned, most_positions=most, **OPTIONS)
    positions = [shape.positions for shape in shapes.shapes]
    assert positions == sorted(positions, reverse=True)
    assert len(set(positions)) == len(positions) <= MOST_SIZES
    assert positions[0] <= most
    random = np.random.default_rng(1)
    taken = tokens = count = 0
    for lengths in steps_of(100, 6):
        selected = random.random(lengths.sum()) < 0.15
        ends = np.concatenate([[0], np.cumsum(lengths)])
        for begin, end in shapes.cuts(lengths, np.add.reduceat(selected, ends[:-1], dtype=np.int64)):
            part = slice(ends[begin], ends[end])
            ids = np.zeros(ends[end] - ends[begin], dtype=np.int64)
            texts = {"original": ids, "inputs": ids, "selected": selected[part]}
            batch = shapes.collate(lengths[begin:end], **texts, pad_id=0)
            taken += batch.tensors["input_ids"].numel()
            count += 1
        tokens += lengths.sum()
    largest = shapes.shapes[0]  # of which the probe of memory has taken the like
    assert largest.slots <= 1.15 * shape_for(positions[0], sequences_in(planned, positions[0]), **OPTIONS).slots
    assert taken < 1.05 * tokens
    assert count / 100 < parts + 0.2


def test_a_step_of_one_long_sequence_is_taken():
    shapes = plan_shapes([np.array([24])], most_positions=24, max_length=24, fraction=0.15, kernel="unpacked")
    for shape in shapes.shapes:
        assert shape.capacity[0] >= 24
        assert shape.capacity[2] >= 24
        assert math.ceil(shape.positions / 24) + shape.sequences == shape.slots


def test_an_example_of_each_size_fills_it_the_largest_first():
    shapes = plan_shapes(steps_of(8, 5), most_positions=16384, max_length=256, fraction=0.15, kernel="flash")
    examples = shapes.examples(vocabulary_size=100, pad_id=0)
    assert [batch.tensors["input_ids"].numel() for batch in examples] == [one.positions for one in shapes.shapes]
    for batch, shape in zip(examples, shapes.shapes, strict=True):
        assert batch.fixed
        assert batch.counts["tokens"] > 0.95 * shape.positions - 256
        assert 0.8 * shape.rows < batch.counts["masked"] <= shape.capacity[2]


def test_example_has_a_sequence_without_masked_tokens():
    """What the tests above rely on."""
    lengths, _, _, selected = masked_example()
    assert not selected[-lengths[-1] :].any()
    assert len(lengths) == COUNT
