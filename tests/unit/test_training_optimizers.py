"""Which parameters an optimizer takes, at which learning rate and decay, and what it refuses."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import pretraining as tiny
from helpers.configurations import read

from compactbio.errors import UserError
from compactbio.settings.load import load_settings, merge
from compactbio.settings.runs import pretraining_run
from compactbio.training.optimizer_settings import (
    OPTIMIZERS,
    GroupRule,
    OptimizerKind,
    OptimizerSettings,
    optimizer_settings,
)
from compactbio.training.optimizers import (
    build_optimizer,
    decayed_parameter_names,
    set_learning_rates,
    treatments,
)

MUON = {"name": "muon", "learning_rate": 0.02, "weight_decay": 0.2}


@pytest.mark.parametrize("build", tiny.BUILDS.values(), ids=tiny.BUILDS)
def test_biases_and_normalisations_do_not_decay(build):
    model = build()
    decayed = decayed_parameter_names(model)
    assert not [name for name in decayed if name.endswith("bias") or "norm" in name.lower()]
    assert {name for name, _ in model.named_parameters() if name.endswith("embeddings.weight")} <= decayed
    optimizer = build_optimizer(model, OptimizerSettings(0.1))
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_a_state_that_was_saved_before_groups_had_rules_goes_on(decay):
    """It has two groups, also where nothing decays, and no factors."""
    before, after = tiny.bert(), tiny.bert()
    decayed = decayed_parameter_names(before)
    groups = [
        {"params": [value for name, value in before.named_parameters() if (name in decayed) == decays], "lr": 0.1}
        | {"weight_decay": decay if decays else 0.0}
        for decays in (True, False)
    ]
    old, new = torch.optim.AdamW(groups, fused=True), build_optimizer(after, OptimizerSettings(decay))
    for step in range(3):
        for one, other in zip(before.parameters(), after.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=torch.Generator().manual_seed(step))
            other.grad = one.grad.clone()
        old.step()
        if step == 0:
            after.load_state_dict(before.state_dict())
            new.load_state_dict(copy.deepcopy(old.state_dict()))
        else:
            set_learning_rates(new, 0.1)
            new.step()
    assert all(torch.equal(one, other) for one, other in zip(before.parameters(), after.parameters(), strict=True))


@pytest.mark.parametrize("build", tiny.BUILDS.values(), ids=tiny.BUILDS)
def test_muon_takes_the_matrices_of_the_layers_and_adamw_the_rest(build):
    model = build()
    found = treatments(model, OptimizerSettings(0.01, 0.1, optimizer=MUON))
    for name, value in model.named_parameters():
        matrix = (".layer." in name or ".layers." in name) and value.ndim == 2
        assert found[name].optimizer == ("muon" if matrix else "adamw"), name
        assert found[name].learning_rate_factor == pytest.approx(0.2 if matrix else 1.0)
        assert found[name].weight_decay in ([0.2] if matrix else [0.01, 0.0])
    optimizer = build_optimizer(model, OptimizerSettings(0.01, 0.1, optimizer=MUON))
    set_learning_rates(optimizer, 0.05)
    assert sorted({group["lr"] for group in optimizer.param_groups}) == pytest.approx([0.01, 0.05])
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_a_step_of_muon_is_that_of_torch_on_each_part():
    ours, theirs = tiny.bert(), tiny.bert()
    mine = build_optimizer(ours, OptimizerSettings(0.01, 0.1, optimizer=MUON))
    planned = treatments(theirs, OptimizerSettings(0.01, 0.1, optimizer=MUON))
    named = dict(theirs.named_parameters())
    matrices = [value for name, value in named.items() if planned[name].optimizer == "muon"]
    expected = [torch.optim.Muon(matrices, lr=0.01, weight_decay=0.2, adjust_lr_fn="match_rms_adamw")]
    for decay in (0.01, 0.0):
        rest = [named[name] for name, how in planned.items() if (how.optimizer, how.weight_decay) == ("adamw", decay)]
        expected.append(torch.optim.AdamW(rest, lr=0.05, weight_decay=decay, fused=True))
    for step in range(3):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=torch.Generator().manual_seed(step))
            other.grad = one.grad.clone()
        set_learning_rates(mine, 0.05)
        for optimizer in (mine, *expected):
            optimizer.step()
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_the_first_pattern_that_fits_a_name_decides():
    rules = [GroupRule(r"layer\.0\.", 0.5), GroupRule("layer|embeddings", 2.0, 0.3)]
    found = treatments(tiny.bert(), OptimizerSettings(0.01, groups=rules))
    for name, how in found.items():
        factor = 0.5 if "layer.0." in name else 2.0 if "layer" in name or "embeddings" in name else 1.0
        decay = 0.3 if factor == 2.0 else 0.01
        plain = name.endswith("bias") or "LayerNorm" in name
        assert (how.learning_rate_factor, how.weight_decay) == (factor, 0.0 if plain else decay), name


def test_values_without_gradient_decay_as_told_beforehand():
    rules = [GroupRule("embeddings", 0.5, 0.3)]
    model = tiny.bert()
    settings = OptimizerSettings(0.01, groups=rules, optimizer={"name": "muon"})
    optimizer = build_optimizer(model, settings)
    [name] = [name for name in treatments(model, settings) if name.endswith("word_embeddings.weight")]
    words = dict(model.named_parameters())[name]
    factor = treatments(model, settings)[name].decay_without_gradient(lambda step: 0.1 / step)
    expected = words.detach().clone()
    for step in (1, 2):
        words.grad = torch.zeros_like(words)
        set_learning_rates(optimizer, 0.1 / step)
        optimizer.step()
        expected *= factor(step)
    torch.testing.assert_close(words, expected)
    matrix = next(how for how in treatments(model, settings).values() if how.optimizer == "muon")
    assert matrix.decay_without_gradient(lambda step: 0.1) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": [GroupRule("nothing")]}, r"here\.parameter_groups\.0\.parameters: 'nothing'.*bert\.embeddings"),
        ({"groups": [GroupRule("bert"), GroupRule("LayerNorm")]}, r"here\.parameter_groups\.[01]\.parameters"),
    ],
)
def test_a_pattern_without_a_parameter_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        treatments(torch.nn.ModuleDict({"bert": tiny.bert().bert}), OptimizerSettings(0.01, place="here", **changes))


def test_muon_is_refused_where_it_has_nothing_to_do_or_torch_lacks_it(monkeypatch):
    settings = OptimizerSettings(0.01, optimizer={"name": "muon"}, place="here")
    with pytest.raises(UserError, match=r"here\.optimizer: the model has no parameter for muon"):
        build_optimizer(torch.nn.Linear(2, 2), settings)
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(UserError, match=r"here\.optimizer: torch .* has no Muon"):
        build_optimizer(tiny.bert(), settings)


def test_options_of_a_run_become_settings():
    options = {"weight_decay": 0.1, "adam_betas": [0.8, 0.9], "adam_epsilon": 1e-6, "optimizer": MUON}
    options["parameter_groups"] = [{"parameters": "bias", "weight_decay": 0.5}]
    assert optimizer_settings(options, learning_rate=0.5, place="here") == OptimizerSettings(
        0.1, 0.5, (0.8, 0.9), 1e-6, MUON, (GroupRule("bias", 1.0, 0.5),), place="here"
    )
    assert optimizer_settings({"weight_decay": 0.1}, learning_rate=0.5, place="x") == OptimizerSettings(
        0.1, 0.5, place="x"
    )


def test_another_optimizer_is_one_record(monkeypatch):
    """It can be chosen, trains what it takes, and is asked nothing that only AdamW does."""
    kind = OptimizerKind(
        lambda groups, settings: torch.optim.SGD(groups, lr=0.0, momentum=settings.optimizer["momentum"]),
        options={"momentum": {"type": "number"}},
        takes=lambda name, dimensions: "embeddings" in name,
    )
    monkeypatch.setitem(OPTIMIZERS, "sgd", kind)
    chosen = {"optimizer": {"name": "sgd", "momentum": 0.5}}
    config = load_settings(merge(read(), {"pretraining": {"optimisation": chosen}}))
    settings = optimizer_settings(
        pretraining_run(config, "TinyBioBERT")["optimisation"], learning_rate=0.1, place="here"
    )
    found = treatments(tiny.bert(), settings)
    assert {how.optimizer for name, how in found.items() if "embeddings" in name} == {"sgd"}
    assert {how.optimizer for name, how in found.items() if "embeddings" not in name} == {"adamw"}
    assert all(
        (how.decay_without_gradient(lambda _: 0.1) is None) == (how.optimizer == "sgd") for how in found.values()
    )
    optimizer = build_optimizer(tiny.bert(), settings)
    assert {type(part) for part in optimizer.parts} == {torch.optim.SGD, torch.optim.AdamW}


def test_loss_scaling_skips_a_step_of_all_parts():
    """As half precision takes them on a GPU: gradients are unscaled once, and none is used that is not finite."""
    settings = OptimizerSettings(0.01, 0.1, optimizer=MUON)
    scaled, plain = tiny.bert(), tiny.bert()
    optimizers = [build_optimizer(model, settings) for model in (scaled, plain)]
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for optimizer in optimizers:
        set_learning_rates(optimizer, 0.05)
    for finite in (True, False, True):
        for one, other in zip(scaled.parameters(), plain.parameters(), strict=True):
            other.grad = torch.randn(one.shape, generator=torch.Generator().manual_seed(1))
            one.grad = scaler.scale(other.grad) if finite else torch.full_like(one, float("inf"))
        scaler.unscale_(optimizers[0])
        scaler.step(optimizers[0])
        scaler.update()
        if finite:
            optimizers[1].step()
    assert all(torch.equal(one, other) for one, other in zip(scaled.parameters(), plain.parameters(), strict=True))
