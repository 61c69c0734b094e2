"""The kernel for ends of blocks in Triton's interpreter, against the plain formula in double precision."""

from __future__ import annotations

import itertools

import pytest
import torch
from helpers.map_terms import INTERPRETED, relative
from helpers.residual_norms import EPSILON, draw, exact, norm_error, plainly
from torch import nn

from compactbio.kernels import residual_norm as kernel
from compactbio.kernels.programs import norms as programs
from compactbio.kernels.residual_norm import Norm, residual_norm
from compactbio.training.half_copies import HalfCopies, half_of

pytestmark = INTERPRETED


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("width", [24, 128, 312, 768, 1024])
@pytest.mark.parametrize("epsilon", [EPSILON, None], ids=["LayerNorm", "NoNorm"])
@pytest.mark.parametrize(("dropout", "adds"), [(0.1, True), (0.0, True), (0.3, False), (0.0, False)])
def test_output_and_gradients_are_the_formulas(width, epsilon, dropout, adds):
    assert norm_error(width, epsilon, dropout, adds=adds) < 2e-6


@pytest.mark.parametrize("dropout", [0.3, 0.0])
@pytest.mark.parametrize("adds", [False, True])
def test_embeddings_drop_behind_their_norm(dropout, adds):
    assert norm_error(128, EPSILON, dropout, adds=adds, late=True) < 2e-6


def test_half_precision_is_as_near_as_its_numbers_allow():
    assert norm_error(64, EPSILON, 0.1, dtype=torch.float16) < 2e-3


@pytest.mark.parametrize("read", ["output", "copy"])
def test_a_gradient_may_come_by_one_of_both_outputs(read):
    states, weight, bias = draw(5, 32), draw(32, seed=1), draw(32, seed=2)
    output = residual_norm(states, None, Norm(weight, bias, EPSILON), half=torch.float16)
    copy = half_of(output, torch.float16)
    assert torch.equal(copy, output.half()) and half_of(output, torch.bfloat16) is output
    taken = output if read == "output" else copy
    found = torch.autograd.grad(taken.float().square().sum(), [states, weight, bias])
    doubles = exact([states, weight, bias])
    expected = plainly(doubles[0], None, *doubles[1:], EPSILON, 0.0)
    assert max(map(relative, found, torch.autograd.grad(expected.square().sum(), doubles))) < 2e-3


def test_without_gradients_nothing_is_kept_and_rows_may_have_any_shape(monkeypatch):
    states, norm = draw(2, 3, 32), Norm(draw(32, seed=1), draw(32, seed=2), EPSILON)
    kept, run = [], programs.forward.run
    monkeypatch.setattr(
        programs.forward, "run", lambda *given, **more: kept.append(more["KEEPS"]) or run(*given, **more)
    )
    with torch.no_grad():
        output = residual_norm(states.transpose(0, 1), states.transpose(0, 1), norm)
    expected = nn.functional.layer_norm(2 * states, (32,), norm.weight, norm.bias, EPSILON).transpose(0, 1)
    assert kept == [False] and not output.requires_grad
    torch.testing.assert_close(output, expected.detach())


def test_linear_layers_read_the_copy_and_give_their_gradients_to_it():
    """By the products of autocast: those of the states' own conversion, bit for bit."""
    layer = nn.Linear(32, 8)
    HalfCopies([layer], torch.bfloat16)
    states = draw(2, 5, 32)
    results = []
    for copies in (True, False):
        norm = Norm(draw(32, seed=1), draw(32, seed=2), EPSILON)
        output = residual_norm(states, None, norm)
        if copies:
            copy = output.to(torch.bfloat16)
            kernel.keep_half(output, copy)
        with torch.autocast("cpu", torch.bfloat16):
            result = layer(output)
        result.float().square().sum().backward()
        results.append([result, states.grad.clone(), layer.weight.grad.clone()])
        states.grad = layer.weight.grad = layer.bias.grad = None
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_every_dropout_has_a_draw_of_its_own_from_the_seeded_generator(monkeypatch):
    ones, norm = torch.ones(4, 64), Norm(torch.ones(64), torch.zeros(64), None)

    def drawn():
        torch.manual_seed(3)
        return [residual_norm(ones, None, norm, dropout=0.5) for _ in range(2)]

    first, second = drawn()
    assert not torch.equal(first, second)
    assert all(torch.equal(*pair) for pair in zip((first, second), drawn(), strict=True))
    assert sorted(set(first.flatten().tolist())) == [0.0, 2.0]
    seeds = itertools.count()
    monkeypatch.setattr(kernel, "draw_seed", lambda device: torch.tensor([next(seeds)]))
    residual_norm(ones, None, norm)
    assert next(seeds) == 0  # none is drawn without dropout
