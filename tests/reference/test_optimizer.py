"""The optimizer of the reference code: which parameters decay, and AdamW as transformers had it, restated here."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import pretraining as tiny
from helpers.configurations import read
from torch import nn

from compactbio.settings.load import load_settings, merge
from compactbio.settings.runs import finetuning_run, pretraining_run
from compactbio.students.models import random_masked_lm
from compactbio.training.optimizer_settings import OptimizerSettings, optimizer_settings
from compactbio.training.optimizers import build_optimizer, decayed_parameter_names, set_learning_rates
from compactbio.training.transformers_adamw import TransformersAdamW

BUILDS = {"bert": tiny.bert, "distilbert": tiny.distilbert, "mobilebert": tiny.mobilebert}


def reference_names(module: nn.Module, prefix: str = "") -> set[str]:
    """The names that decay by the rule of transformers 4.25.1: outside LayerNorm, without `bias` in the name."""
    if isinstance(module, nn.LayerNorm):
        return set()
    own = {f"{prefix}{name}" for name, _ in module.named_parameters(recurse=False)}
    names = {name for name in own if "bias" not in name}
    return names.union(*(reference_names(child, f"{prefix}{name}.") for name, child in module.named_children()))


def of_model(model: nn.Module) -> set[str]:
    """That rule's names without a second name of a tied weight, as named_parameters leaves it out."""
    return reference_names(model) & {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("architecture", BUILDS)
def test_the_reference_rule_chooses_the_same_parameters(architecture: str) -> None:
    model = BUILDS[architecture]()
    assert decayed_parameter_names(model, norms_decay=True) == of_model(model)
    differs = decayed_parameter_names(model) != of_model(model)
    assert differs == (architecture == "mobilebert")


def test_193_of_the_194_normalisations_of_mobilebert_decay_by_the_reference_rule() -> None:
    model = random_masked_lm("mobilebert", {}, 30522, 0)
    decayed = decayed_parameter_names(model, norms_decay=True)
    assert decayed == of_model(model)
    scales = {name: value for name, value in model.named_parameters() if name.endswith("LayerNorm.weight")}
    assert len(scales) == 194
    # 8 in each of 24 layers and 1 behind the embeddings are NoNorms; the head's is torch's LayerNorm
    assert scales.keys() - decayed == {"cls.predictions.transform.LayerNorm.weight"}
    assert sum(scales[name].numel() for name in scales.keys() & decayed) == 34_304
    assert decayed - decayed_parameter_names(model) == scales.keys() & decayed


def test_a_step_under_the_switch_differs_in_the_scales_of_nonorm_alone() -> None:
    after = {}
    for value in ("reference", "sound"):
        model = tiny.mobilebert()
        options = {"weight_decay": 0.01}
        chosen = optimizer_settings(options, learning_rate=0.1, place="here", quirks={"decayed_norms": value})
        optimizer = build_optimizer(model, chosen)
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 0.5)
        set_learning_rates(optimizer, 0.1)
        optimizer.step()
        after[value] = dict(model.named_parameters())
    for name, before in tiny.mobilebert().named_parameters():
        lost = (after["sound"][name] - after["reference"][name]).detach()
        scales = name.endswith("LayerNorm.weight") and not name.startswith("cls.")
        torch.testing.assert_close(lost, 0.1 * 0.01 * before.detach() * scales, atol=1e-7, rtol=1e-3)


def test_the_switch_stands_in_the_run_files_that_it_concerns_alone() -> None:
    """Else results of BERT and DistilBERT would be made again that it cannot change."""
    reference = load_settings(read())
    sound = load_settings(merge(read(), {"quirks": {"decayed_norms": "sound"}}))
    trained = [name for name, model in reference["models"].items() if model["source"] == "train"]
    for name in trained:
        runs = [pretraining_run(config, name) for config in (reference, sound)]
        if name == "BioMobileBERT":
            assert [run["quirks"].get("decayed_norms") for run in runs] == ["reference", None]
        else:
            assert runs[0] == runs[1] and list(runs[0]["quirks"]) == list(tiny.REFERENCE)
    for name, model in reference["models"].items():
        values = [finetuning_run(config, name, "BC2GM").get("quirks") for config in (reference, sound)]
        mobile = model["architecture"] == "mobilebert"
        assert values == [{"decayed_norms": "reference"} if mobile else None, None]


class Restated:
    """AdamW of transformers 4.25.1 on one tensor, in double precision."""

    def __init__(self, weight: torch.Tensor, decay: float) -> None:
        self.weight, self.decay, self.step_count = weight, decay, 0
        self.first, self.second = torch.zeros_like(self.weight), torch.zeros_like(self.weight)

    def step(self, gradient: torch.Tensor, rate: float) -> None:
        self.step_count += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        size = rate * math.sqrt(1 - 0.999**self.step_count) / (1 - 0.9**self.step_count)
        self.weight = self.weight - size * self.first / (self.second.sqrt() + 1e-8)
        self.weight = self.weight - rate * self.decay * self.weight


@pytest.mark.parametrize("scale", [1e-2, 1e-6, 1e-8])
def test_transformers_adamw_takes_the_steps_of_its_formula(scale: float) -> None:
    torch.manual_seed(0)
    steps, rate = 200, 1e-3
    start = torch.randn(40, 3, dtype=torch.double)
    weights = {}
    restated = Restated(start, 0.01)
    for name in ("adamw", "transformers_adamw"):
        layer = nn.Linear(3, 40, bias=False).double()
        layer.weight.data.copy_(start)
        optimizer = build_optimizer(layer, OptimizerSettings(0.01, rate, optimizer={"name": name}))
        draws = torch.Generator().manual_seed(1)
        for _ in range(steps):
            layer.weight.grad = scale * torch.randn(40, 3, dtype=torch.double, generator=draws)
            if name == "transformers_adamw":
                restated.step(layer.weight.grad, rate)
            set_learning_rates(optimizer, rate)
            optimizer.step()
        weights[name] = layer.weight.detach()
    moved = (restated.weight - start).norm()
    assert (weights["transformers_adamw"] - restated.weight).norm() / moved < 1e-9
    difference = float((weights["adamw"] - restated.weight).norm() / moved)
    assert (difference < 1e-3) == (scale == 1e-2), difference  # torch's is another optimizer where gradients are small
    assert optimizer.param_groups[0]["eps"] == 1e-8 and optimizer.param_groups[0]["weight_decay"] == 0.01


def test_transformers_adamw_leaves_weights_without_gradient_as_they_are() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.detach().clone()
    optimizer = build_optimizer(layer, OptimizerSettings(0.1, optimizer={"name": "transformers_adamw"}))
    layer.bias.grad = torch.ones(2)
    set_learning_rates(optimizer, 0.1)
    optimizer.step()
    assert torch.equal(layer.weight, before)


def overflow(optimizer: torch.optim.Optimizer, found: float) -> None:
    """What a GradScaler says before a step to an optimizer whose fused steps mind it."""
    optimizer.found_inf, optimizer.grad_scale = torch.tensor(found), torch.tensor(1.0)


def test_transformers_adamw_takes_no_step_where_gradients_overflow() -> None:
    """Nor does it decay, or count the step."""
    draws = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    weights = []
    for founds in ((0.0, 1.0, 0.0), (0.0, 0.0)):
        layer = nn.Linear(4, 5, bias=False)
        layer.weight.data.copy_(draws[0])
        optimizer = build_optimizer(layer, OptimizerSettings(0.1, optimizer={"name": "transformers_adamw"}))
        set_learning_rates(optimizer, 0.1)
        gradients = iter(draws[1:])
        for found in founds:
            before = layer.weight.detach().clone()
            layer.weight.grad = torch.full((5, 4), torch.inf) if found else next(gradients).clone()
            overflow(optimizer, found)
            optimizer.step()
            assert torch.equal(layer.weight, before) == bool(found)
        weights.append(layer.weight.detach())
    assert torch.equal(*weights)


def test_transformers_adamw_reads_a_devices_count_of_steps_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind each loading of a state: a GPU would be waited for at every step."""
    read = []
    real = TransformersAdamW._steps_of
    monkeypatch.setattr(TransformersAdamW, "_steps_of", lambda *given: read.append(real(*given)) or read[-1])
    layer = nn.Linear(2, 2, bias=False)
    settings = OptimizerSettings(0.1, optimizer={"name": "transformers_adamw"})
    optimizer = build_optimizer(layer, settings)
    set_learning_rates(optimizer, 0.1)
    for number in range(6):
        if number == 3:
            state, optimizer = optimizer.state_dict(), build_optimizer(layer, settings)
            optimizer.load_state_dict(state)
        layer.weight.grad = torch.full((2, 2), 0.1 * number)
        optimizer.step()
    assert read == [0.0, 3.0]
