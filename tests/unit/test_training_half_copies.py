"""Copies of weights in half precision: the numbers of autocast to the bit, made once a step."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import pretraining as tiny
from helpers.map_terms import INTERPRETED
from helpers.objectives import assert_equal, distillation, micro_batches

from compactbio.architectures import ARCHITECTURES
from compactbio.pretraining.layout import fill_vocabulary
from compactbio.training.half_copies import HalfCopies, half_of, keep_half

HALF = torch.bfloat16


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def step(module, batches, optimizer, dtype=HALF):
    """Loss and gradients of a step under autocast, as a training makes it."""
    total = 0.0
    denominators = {name: sum(batch.counts[name] for batch in batches) for name in batches[0].counts}
    for batch in batches:
        with torch.autocast("cpu", dtype):
            loss = module(batch.tensors, denominators)
        loss.backward()
        total += loss.item()
    gradients = {name: value.grad.clone() for name, value in module.named_parameters()}
    optimizer.step()
    optimizer.zero_grad()
    return total, gradients


@pytest.mark.parametrize("build", tiny.BUILDS.values(), ids=tiny.BUILDS)
def test_losses_gradients_and_weights_are_those_of_autocast(build):
    """Two steps of two micro-batches: after an update the copies are new, and gradients add up in fp32."""
    objective = [*tiny.MLM, {"term": "logit_kl", "weight": 1.0, "temperature": 2.0}]
    found = []
    for with_copies in (True, False):
        module = distillation(build(seed=3), tiny.bert(layers=4, seed=1), objective, tiny.SOUND)
        copies = HalfCopies(module.computing_modules(), HALF) if with_copies else None
        optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
        steps = []
        for _ in range(2):
            if copies is not None:
                copies.refresh()
            steps.append(step(module, micro_batches([3], packed=True), optimizer))
        found.append(steps)
    for (loss, gradients), (expected, plain) in zip(*found, strict=True):
        assert loss == expected
        assert gradients.keys() == plain.keys()
        assert all(torch.equal(gradients[name], plain[name]) for name in plain)


def test_predictions_read_the_weights_themselves():
    """Which an update may have changed since the copies were made."""
    model = tiny.bert(seed=2).eval()
    twin = copy.deepcopy(model)
    HalfCopies([model], HALF)
    [batch] = micro_batches([])
    with torch.no_grad():
        for one in (model, twin):
            one.cls.predictions.transform.dense.weight.mul_(2.0)
        for half in (True, False):
            with torch.autocast("cpu", HALF, enabled=half):
                results = [one(input_ids=batch.tensors["input_ids"]).logits for one in (model, twin)]
            assert torch.equal(*results)


def test_nothing_else_is_saved_and_what_shares_a_weight_shares_its_copy():
    model = tiny.bert()
    names = list(model.state_dict())
    copies = HalfCopies([model], HALF)
    assert list(model.state_dict()) == names
    assert len({id(one) for _, one in copies.trained}) == len(copies.trained)
    assert model.cls.predictions.decoder.weight is model.get_input_embeddings().weight


HEADS = {name: build for name, build in tiny.BUILDS.items() if ARCHITECTURES[name].logits_layer}


@pytest.mark.parametrize("build", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("kernels", [False, pytest.param(True, marks=INTERPRETED)])
def test_rows_of_logits_that_are_filled_up_change_no_number(build, kernels):
    """Loss and gradients of all terms on logits, over an update; half precision that the interpreter has."""
    dtype = torch.float16 if kernels else HALF
    objective = [*tiny.MLM, {"term": "logit_kl", "weight": 1.0, "temperature": 2.0}]
    objective += [{"term": "soft_cross_entropy", "weight": 1.0}]
    found = []
    for filled in (True, False):
        module = distillation(build(seed=3), tiny.bert(layers=4, seed=1), objective, tiny.SOUND)
        module.logit_kernels = kernels
        width = tiny.VOCABULARY
        if filled:
            width = fill_vocabulary(module, torch.device("cuda"), "fp16" if kernels else "bf16")
        copies = HalfCopies(module.computing_modules(), dtype)
        widths = []
        for model in module.models:
            layer = model.get_submodule(ARCHITECTURES[model.config.model_type].logits_layer)
            layer.register_forward_hook(lambda layer, given, output, widths=widths: widths.append(output.shape[-1]))
        optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
        steps = []
        for _ in range(2):
            copies.refresh()
            steps.append(step(module, micro_batches([3], packed=True), optimizer, dtype))
        assert set(widths) == {width} and width == (128 if filled else 120)
        assert all(len(copy) == len(value) for value, copy in copies.trained)
        found.append(steps)
    for (loss, gradients), (expected, plain) in zip(*found, strict=True):
        assert loss == pytest.approx(expected, rel=1e-5)
        assert_equal(gradients, plain, 2e-2 if kernels else 1e-2)


def test_rows_are_filled_only_where_all_terms_are_of_a_softmax_and_all_heads_end_in_a_layer():
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    both = [*tiny.MLM, {"term": "logit_kl", "weight": 1.0}]

    def width(student, objective, device=gpu, precision="bf16"):
        return fill_vocabulary(distillation(student, tiny.bert(), objective, tiny.SOUND), device, precision)

    assert width(tiny.bert(), both) == 128
    assert width(tiny.bert(), both, device=cpu) == width(tiny.bert(), both, precision="tf32") == 120
    assert width(tiny.mobilebert(), both) == width(tiny.mobilebert(), tiny.MLM) == 120
    assert width(tiny.bert(), [{"term": "hidden_mse", "weight": 1.0, "layers": [[1, 1]]}]) == 120


def test_a_copy_is_not_read_where_the_states_have_changed():
    states = torch.ones(3, 4)
    copy = states.half()
    keep_half(states, copy)
    assert half_of(states, torch.float16) is copy
    states.add_(1.0)
    assert half_of(states, torch.float16) is states
    with torch.inference_mode():
        states = torch.ones(3, 4)
        keep_half(states, copy)
        assert half_of(states, torch.float16) is copy
