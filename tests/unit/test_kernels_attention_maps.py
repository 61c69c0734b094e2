"""Kernels for attention maps in Triton's interpreter, against the plain formulas in double precision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from helpers import map_dropout
from helpers.map_entries import map_entries
from helpers.map_terms import FORMULAS, INTERPRETED, attention_error, inputs, layout_of, real_tokens, term_error

from compactbio.kernels import attention_maps, map_choice
from compactbio.kernels.attention_maps import (
    Maps,
    compare_maps,
    dropped_attention,
    packed_layout,
    padded_layout,
)
from compactbio.kernels.draws import draw_seed
from compactbio.kernels.programs import maps as programs
from compactbio.terms.attention_maps import MAP_EPSILON

pytestmark = INTERPRETED
EVERY_SIZE = pytest.mark.parametrize("sizes", [(64, 64), (26, 64), (32, 32)], ids=str)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@EVERY_SIZE
@pytest.mark.parametrize("case", FORMULAS, ids=str)
def test_a_term_and_its_gradient_are_the_plain_formulas(sizes, case):
    assert term_error((24, 9, 1), sizes, case) < 2e-6


@pytest.mark.parametrize("case", FORMULAS, ids=str)
@pytest.mark.parametrize("dropouts", [(0.1, 0.1), (0.3, 0.0), (0.0, 0.3)], ids=str)
def test_dropout_on_either_side_is_the_draw_that_was_asked_for(case, dropouts):
    if case[0] == "score_mse":
        dropouts = (0.0, 0.0)  # scores have none
    assert term_error((20, 11), (32, 64), case, dropouts) < 2e-6


@pytest.mark.parametrize("case", FORMULAS[:3], ids=str)
def test_256_keys_fit(case):
    assert term_error((256,), (32, 32), case, (0.1, 0.1)) < 5e-6


def test_half_precision_is_as_near_as_its_numbers_allow():
    for case in FORMULAS:
        dropouts = (0.0, 0.0) if case[0] == "score_mse" else (0.1, 0.1)
        assert term_error((24, 9), (64, 64), case, dropouts, dtype=torch.float16) < 2e-3


@pytest.mark.parametrize("size", [26, 64])
def test_attention_multiplies_the_values_with_the_same_maps(size):
    assert attention_error((24, 9, 1), size, 0.2) < 2e-6


def test_a_gradient_of_attention_follows_the_draw_of_its_forward_pass():
    """Finite differences of the kernel itself: forward and backward drop the same."""
    query, key, value = (one.detach() for one in inputs((8,), 16, 4))
    layout = padded_layout(1, 8, None, query.device)

    def total(query):
        seed = torch.tensor([3])
        return dropped_attention(Maps(query, key, 0.25, 0.5, seed), value, layout).square().sum()

    leaf = query.clone().requires_grad_()
    [gradient] = torch.autograd.grad(total(leaf), leaf)
    step = 1e-2 * torch.randn_like(query)
    slope = (total(query + step) - total(query - step)) / 2.0
    torch.testing.assert_close(slope, (gradient * step).sum(), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("formula", ["kl", "mse", "score_mse"])
def test_packed_sequences_empty_ones_and_slices_of_memory_change_nothing(formula):
    """Without dropout: a draw depends on a token's place in the micro-batch."""
    lengths = (12, 7)
    sides = [inputs(lengths, 32, seed) for seed in (0, 1)]
    layout = layout_of(lengths).counting(padding_queries=False)
    padded = compare_maps(*(Maps(*one[:2], 0.2) for one in sides), layout, formula)
    expected = torch.autograd.grad(padded, sides[0][:2])

    joined = [[torch.cat([one[:, :, :n] for one, n in zip(side.split(1), lengths, strict=True)], 2) for side in both]
              for both in sides]  # fmt: skip
    # as a linear layer leaves them: heads beside each other in a wider row
    joined = [[one.transpose(1, 2).contiguous().transpose(1, 2) for one in both] for both in joined]
    boundaries = torch.tensor([0, 12, 19, 19, 19], dtype=torch.int32)
    packed = compare_maps(*(Maps(*one[:2], 0.2) for one in joined), packed_layout(boundaries, 12), formula)
    torch.testing.assert_close(packed, padded)
    for one, other in zip(torch.autograd.grad(packed, sides[0][:2]), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_row_that_counts_nothing_is_finite_and_gets_nothing():
    """Rows that fill a fixed shape have no key at all."""
    query, key, value = inputs((8, 8), 16, 0)
    real = torch.tensor([[True] * 8, [False] * 8])
    layout = padded_layout(2, 8, real, query.device)
    maps = Maps(query, key, 0.25, 0.1, torch.tensor([1]))
    total = dropped_attention(maps, value, layout).sum() + compare_maps(maps, maps, layout, "kl")
    for gradient in torch.autograd.grad(total, (query, key, value)):
        assert gradient.isfinite().all() and gradient[1].abs().max() == 0


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("form", ["packed", "padded", "whole"])
def test_every_row_is_written_or_was_zero(form, fill, monkeypatch):
    """Memory that holds no numbers at first gives the same results as zeros: `every_query` and `every_key` are true."""
    lengths, longest = (5, 20, 7), 20
    count = 1 if form == "packed" else 3
    query, key, value = inputs((32 if form == "packed" else longest,) * count, 16, 0)
    if form == "packed":
        boundaries = torch.tensor([0, 5, 25, 32, 32], dtype=torch.int32)
        real = torch.arange(32)[None] < 25 if fill else None
        layout = packed_layout(boundaries, longest, real)
    else:
        real = real_tokens((*lengths[:2], 0) if fill else lengths) if form == "padded" else None
        layout = padded_layout(count, longest, real, query.device)
    maps = Maps(query, key, 0.25, 0.1, torch.tensor([1]))

    def results() -> list[torch.Tensor]:
        output = dropped_attention(maps, value, layout)
        term = compare_maps(maps, maps, layout.counting(padding_queries=False), "mse")
        everywhere = compare_maps(maps, maps, layout, "kl")
        total = output.square().sum() + term + everywhere
        return [output, term, everywhere, *torch.autograd.grad(total, (query, key, value))]

    monkeypatch.setattr(torch, "empty", lambda *sizes, **options: torch.full(*sizes, float("nan"), **options))
    found = results()
    monkeypatch.setattr(torch, "empty", torch.zeros)
    assert all(map(torch.equal, found, results()))


def test_dropout_has_its_mean_its_variance_and_no_memory():
    """The bits, which the tests above hold equal to the kernel's; 2 million, so that 5 sigma are 0.0035."""
    uniform = map_dropout.bits(11, 1024, 8, 256) / 2**32
    count = uniform.size
    assert abs(uniform.mean() - 1 / 2) < 5 * (1 / 12 / count) ** 0.5
    assert uniform.var() == pytest.approx(1 / 12, rel=0.003)
    cells = np.histogram(uniform, bins=256, range=(0, 1))[0]
    assert ((cells - count / 256) ** 2 / (count / 256)).sum() < 255 + 5 * (2 * 255) ** 0.5
    kept = uniform >= 0.1
    assert abs(kept.mean() - 0.9) < 5 * (0.09 / count) ** 0.5
    # the number that a row keeps is binomial
    assert kept.sum(-1).var() == pytest.approx(256 * 0.09, rel=5 * (2 / (1024 * 8)) ** 0.5)
    others = [map_dropout.bits(seed, 1024, 8, 256) / 2**32 for seed in (12, 11 + 2**32)]
    neighbours = [
        (uniform[:, :, 1:], uniform[:, :, :-1]),
        (uniform[1:], uniform[:-1]),
        (uniform[:, 1:], uniform[:, :-1]),
    ]
    for one, other in [*neighbours, *((uniform, other) for other in others)]:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / (one.size - 1) ** 0.5


def test_seeds_come_from_the_generator_that_a_step_seeds():
    torch.manual_seed(4)
    drawn = [draw_seed(torch.device("cpu")) for _ in range(3)]
    torch.manual_seed(4)
    assert torch.equal(draw_seed(torch.device("cpu")), drawn[0])
    assert len({int(one) for one in drawn}) == 3


def test_the_epsilon_is_that_of_the_term():
    assert programs.EPSILON.value == MAP_EPSILON


@pytest.mark.parametrize("sizes", [(32, 64), (12, 8)], ids=str)
def test_a_trial_finds_what_differs(sizes, monkeypatch):
    device = torch.device("cpu")
    torch.manual_seed(0)
    assert map_choice.trial(device, torch.float32, sizes, 16, map_entries()) is None
    counter = itertools.count()  # a term that does not see attention's draw
    real = map_choice.compare_maps
    monkeypatch.setattr(
        map_choice,
        "compare_maps",
        lambda student, *others, **options: real(
            Maps(student.query, student.key, student.scale, student.dropout, torch.tensor([next(counter)])),
            *others,
            **options,
        ),
    )
    assert map_choice.trial(device, torch.float32, sizes, 16, map_entries()).startswith(
        "in a trial, their attention_kl differ by"
    )


def test_a_trial_compiles_what_a_training_runs(monkeypatch):
    """What does not fit on a chip does not at the training's length of sequences, however short the trial's are."""
    lengths, power = [], attention_maps.power_of_two
    monkeypatch.setattr(attention_maps, "power_of_two", lambda size: lengths.append(size) or power(size))
    assert map_choice.trial(torch.device("cpu"), torch.float32, (16, 16), 100, map_entries()) is None
    assert set(lengths) == {16, 100}


@pytest.mark.parametrize(
    ("changes", "capability", "reason"),
    [
        ({}, (7, 0), "compute capability is 7.0, the kernels need 8.0"),
        ({"precision": "fp32"}, (8, 0), "in fp32 the kernels have no tensor cores"),
        ({"precision": "fp16"}, (8, 0), "in fp16 their gradients would be rounded before the loss is scaled"),
        ({"longest": 512}, (8, 0), "up to 512 tokens are longer than the 256"),
        ({"head_sizes": (64, 256)}, (8, 0), "heads of 256 values"),
        ({}, (9, 0), "the trial ended with ValueError: no such compiler"),
    ],
)
def test_the_reason_for_the_plain_path_is_named(monkeypatch, changes, capability, reason):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(map_choice, "trial", lambda *_: (_ for _ in ()).throw(ValueError("no such compiler\nmore")))
    options = {"precision": "bf16", "longest": 256, "head_sizes": (64, 64), "entries": []} | changes
    assert reason in map_choice.map_refusal(torch.device("cuda"), **options)
    assert map_choice.map_refusal(torch.device("cpu"), **options) == "the kernels are for GPUs"


def test_maps_of_other_shapes_are_refused():
    """A kernel would read beside what there is."""
    student, teacher = (Maps(*inputs(lengths, 16, 0)[:2], 0.25) for lengths in ((8, 8), (8, 9)))
    with pytest.raises(ValueError, match="their shapes differ"):
        compare_maps(student, teacher, layout_of((8, 8)), "kl")
