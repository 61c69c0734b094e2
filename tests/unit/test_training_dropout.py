"""Dropout by sixteen bits a value: its probability, its expectation, its gradient, its seed."""

from __future__ import annotations

import pytest
import torch
from helpers.finetuning import write_model
from torch import nn

from compactbio.training.dropout import Dropout, dropout, replace_dropout

torch.set_num_threads(1)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9, 2**-16])
def test_the_share_and_the_expectation_are_right(probability):
    torch.manual_seed(1)
    values = dropout(torch.ones(4_000_001), probability)
    share = round(probability * 65536) / 65536
    kept = values[values != 0]
    assert torch.all(kept == kept[0]) and kept[0].item() == pytest.approx(1 / (1 - share), rel=1e-6)
    deviation = (share * (1 - share) / 4e6) ** 0.5
    assert abs((values == 0).double().mean().item() - share) < 5 * deviation


def test_neighbours_are_dropped_independently():
    torch.manual_seed(2)
    dropped = (dropout(torch.ones(1_000_000), 0.1) == 0).double()
    for distance in (1, 2, 3, 4, 5):  # four values share a draw of 64 bits
        both = (dropped[distance:] * dropped[:-distance]).mean().item()
        assert abs(both - 0.01) < 5 * (0.01 / 1e6) ** 0.5


def test_the_gradient_is_dropped_where_the_value_was():
    torch.manual_seed(3)
    values = torch.randn(7, 5, 3).transpose(0, 2).requires_grad_()
    result = dropout(values, 0.3)
    weights = torch.randn(7, 5, 3).transpose(0, 2)
    (result * weights).sum().backward()
    ratio = torch.where(result == 0, 0.0, result / values)
    torch.testing.assert_close(values.grad, ratio * weights)
    assert 0 < (result == 0).sum() < values.numel()


def test_the_seed_decides_and_other_types_go_to_torch():
    values = torch.ones(100)
    torch.manual_seed(4)
    one = dropout(values, 0.5)
    torch.manual_seed(4)
    assert torch.equal(dropout(values, 0.5), one)
    assert dropout(values, 0.0) is values
    assert torch.all(dropout(values, 1.0) == 0) and torch.all(dropout(values, 1 - 2**-20) == 0)
    torch.manual_seed(4)
    ours = dropout(values.bfloat16(), 0.5)
    torch.manual_seed(4)
    assert torch.equal(ours, nn.functional.dropout(values.bfloat16(), 0.5))


def test_a_model_s_dropouts_are_replaced_and_rest_in_evaluation(tmp_path):
    import transformers

    model = transformers.AutoModel.from_pretrained(write_model(tmp_path / "model"))
    expected = [(name, module.p) for name, module in model.named_modules() if isinstance(module, nn.Dropout)]
    replace_dropout(model)
    replaced = [(name, module.p) for name, module in model.named_modules() if type(module) is Dropout]
    assert replaced == expected and len(expected) == 7
    values = torch.ones(50)
    layer = model.embeddings.dropout
    assert torch.equal(layer.eval()(values), values)
    assert not torch.equal(layer.train()(values), values)
