"""The kernel for activations in Triton's interpreter, against the plain formula in double precision."""

from __future__ import annotations

import pytest
import torch
from helpers.activations import activation_error
from helpers.map_terms import INTERPRETED
from helpers.residual_norms import draw
from torch import nn
from transformers.activations import ACT2FN

from compactbio.kernels.activated import FORMULAS, activated, formula_of

pytestmark = INTERPRETED


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("width", [26, 512, 1200, 3072])
@pytest.mark.parametrize("formula", FORMULAS)
def test_output_and_gradients_are_the_formulas(width, formula):
    assert activation_error(width, formula) < 2e-6


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("rows", [(1,), (2, 3, 5), (150,)])
def test_rows_may_have_any_shape(formula, rows):
    assert activation_error(40, formula, rows=rows) < 2e-6


@pytest.mark.parametrize("formula", FORMULAS)
def test_half_precision_is_as_near_as_its_numbers_allow(formula):
    assert activation_error(64, formula, dtype=torch.float16) < 2e-3


@pytest.mark.parametrize("name", ["relu", "gelu"])
def test_the_output_is_that_of_the_plain_layer_to_the_bit(name):
    states, weight, bias = draw(5, 24), draw(40, 24, seed=1), draw(40, seed=2)
    plain = ACT2FN[name](nn.functional.linear(states, weight, bias))
    assert torch.equal(activated(states, weight, bias.detach(), bias, name), plain)


def test_only_what_needs_a_gradient_gets_one():
    states, weight, bias = draw(5, 24).detach(), draw(40, 24, seed=1).detach(), draw(40, seed=2)
    output = activated(states, weight, bias.detach(), bias, "relu")
    output.sum().backward()
    torch.testing.assert_close(bias.grad, (output > 0).float().sum(0))


def test_gradients_may_have_any_layout():
    states, weight, bias = draw(5, 24), draw(40, 24, seed=1), draw(40, seed=2)
    output = activated(states, weight, bias.detach(), bias, "gelu")
    direction = draw(40, 5, seed=3).detach()
    found = [
        torch.autograd.grad(output, [states, bias], one, retain_graph=True)
        for one in (direction.T.clone(), direction.T)
    ]
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
    assert not direction.T.is_contiguous()


def test_formulas_are_those_of_two_activations():
    assert [formula_of(ACT2FN[name]) for name in ("relu", "gelu")] == ["relu", "gelu"]
    others = ("gelu_new", "gelu_python", "gelu_pytorch_tanh", "silu", "relu6", "tanh")
    assert [formula_of(ACT2FN[name]) for name in others] == [None] * len(others)
