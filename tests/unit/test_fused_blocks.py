"""Models whose blocks kernels compute parts of give what they gave before, in Triton's interpreter."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from helpers import pretraining as tiny
from helpers.gpu_steps import SIZES, shape_of
from helpers.map_terms import INTERPRETED
from helpers.objectives import assert_equal, distillation, micro_batches

from compactbio.architectures import ARCHITECTURES
from compactbio.kernels import fused_blocks
from compactbio.kernels.activated import activated
from compactbio.kernels.fused_blocks import KERNELS, block_parts, fuse_blocks, install, trial, widths_of
from compactbio.kernels.programs import activations as programs
from compactbio.students.models import random_masked_lm
from compactbio.training.half_copies import HalfCopies

pytestmark = INTERPRETED
CPU, GPU = torch.device("cpu"), torch.device("cuda")
PARTS = {"bert": 3, "roberta": 3, "electra": 3, "distilbert": 1, "mobilebert": 12, "modernbert": 0}  # of a layer
VARIANTS = {
    "layer norms": {"normalization_type": "layer_norm"},
    "no bottlenecks": {"use_bottleneck": False, "intra_bottleneck_size": 32, "embedding_size": 32},
    "one feed-forward part": {"num_feedforward_networks": 1},
    "an activation without a kernel": {"hidden_act": "gelu_new"},
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def model(architecture, dropout=0.0, **changes):
    shape = shape_of(architecture, SIZES["cpu"]) | dict.fromkeys(ARCHITECTURES[architecture].dropouts, dropout)
    return random_masked_lm(architecture, shape | changes, 150, 1)


def loss_and_gradients(module, batches):
    denominators = {name: sum(batch.counts[name] for batch in batches) for name in batches[0].counts}
    loss = torch.stack([module(batch.tensors, denominators) for batch in batches]).sum()
    loss.backward()
    return loss.item(), {name: value.grad for name, value in module.named_parameters()}


def test_every_architecture_says_what_kernels_can_compute():
    assert PARTS.keys() == ARCHITECTURES.keys()
    for architecture, count in PARTS.items():
        assert len(block_parts(model(architecture))) == 2 * count, architecture


@pytest.mark.parametrize("architecture", [name for name, count in PARTS.items() if count])
@pytest.mark.parametrize("packed", [False, True])
def test_loss_and_gradients_stay(architecture, packed):
    """MLM, whose last layer is computed at the masked positions."""
    student = model(architecture)
    plain, fused = (distillation(copy.deepcopy(student), None, tiny.MLM, tiny.REFERENCE) for _ in range(2))
    install(fused.student)
    batches = micro_batches([4], **({"packed": True} if packed else {}))[:1]
    expected, found = loss_and_gradients(plain, batches), loss_and_gradients(fused, batches)
    assert found[0] == pytest.approx(expected[0], rel=2e-6)
    assert_equal(found[1], expected[1], 1e-5)
    assert fused.student.state_dict().keys() == student.state_dict().keys()


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "mobilebert"])
@pytest.mark.parametrize("copies", [True, False])
def test_half_precision_reads_the_copies_of_weights(architecture, copies):
    """Twice, for gradients are added to those that there are; without copies autocast's conversions are read."""
    student = model(architecture)
    results = []
    for fuses in (False, True):
        module = distillation(copy.deepcopy(student), None, tiny.MLM, tiny.REFERENCE)
        if fuses:
            install(module.student)
        if copies:
            HalfCopies(module.computing_modules(), torch.float16)
            with torch.no_grad():  # which the copies do not know of yet
                for value in module.parameters():
                    value.mul_(1.5)
        for _ in range(2):
            with torch.autocast("cpu", torch.float16):
                found = loss_and_gradients(module, micro_batches([4], packed=True)[:1])
        results.append(found)
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-3)
    assert_equal(results[1][1], results[0][1], 5e-3)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_mobileberts_of_other_shapes_stay(changes):
    plain = model("mobilebert", **changes).eval()
    fused = copy.deepcopy(plain)
    install(fused)
    ids = torch.randint(5, 150, (2, 9), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fused(ids).logits, plain(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", [name for name, count in PARTS.items() if count])
def test_dropout_falls_where_it_fell(architecture, monkeypatch):
    """None in evaluation; in training the share of zeros that each end's dropout has, where it has one."""
    plain = model(architecture, dropout=0.4).eval()
    fused = copy.deepcopy(plain)
    install(fused)
    ids = torch.randint(5, 150, (2, 9), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fused(ids).logits, plain(ids).logits, rtol=1e-5, atol=1e-5)
    shares = []

    def normed(dense, states, residual, norm, dropout, **options):
        applies = dropout is not None and dropout.training
        shares.append(dropout.p if applies else 0.0)
        return real(dense, states, residual, norm, dropout, **options)

    real = KERNELS.normed
    monkeypatch.setattr(KERNELS, "normed", normed)
    fused.train()(ids)
    wanted = {"distilbert": [0.0, 0.4], "mobilebert": [0.0] * 7 + [0.4]}.get(architecture, [0.4, 0.4])
    assert shares[0] == 0.4  # of the embeddings
    assert sorted(shares[1:]) == sorted(wanted * 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_trial_finds_what_differs(dtype, monkeypatch):
    inner = {(40, "relu"), (512, "gelu")}
    assert trial(CPU, dtype, {24, 128}, inner) is None
    real = fused_blocks.residual_norm
    monkeypatch.setattr(
        fused_blocks,
        "residual_norm",
        lambda states, residual, norm, **options: real(
            states, None if residual is None else 1.1 * residual, norm, **options
        ),
    )
    assert trial(CPU, dtype, {24}, inner).startswith("in a trial, their output differ by")
    other = {"relu": "gelu", "gelu": "relu"}
    monkeypatch.setattr(fused_blocks, "activated", lambda *given: activated(*given[:-1], other[given[-1]]))
    why = trial(CPU, dtype, (), inner)
    assert why.startswith("in a trial, their output differ by") and why.endswith("(relu, rows of 40)")


def test_gradients_by_another_formula_are_found(monkeypatch):
    real = programs.backward.run
    monkeypatch.setattr(programs.backward, "run", lambda *given, **more: real(*given, **more | {"FORMULA": 0}))
    why = trial(CPU, torch.float32, (), {(40, "gelu")})
    assert why.startswith("in a trial, their gradient of states differ by")


def test_a_trial_is_of_the_widths_that_there_are():
    for architecture in ("bert", "distilbert"):
        one = model(architecture, **{"hidden_dim" if architecture == "distilbert" else "intermediate_size": 48})
        norms, inner = widths_of(block_parts(one))
        assert norms == {32} and (48, "gelu") in inner
    assert widths_of(block_parts(model("mobilebert")))[1] == {(64, "relu")}
    assert widths_of(block_parts(model("bert", hidden_act="gelu_new")))[1] == set()


def test_a_gpu_takes_the_kernel_or_the_log_says_why_not(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    bert = model("bert")
    kinds = [type(part) for part in block_parts(bert)]
    assert not fuse_blocks([bert], CPU, "fp32")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(fused_blocks, "trial", lambda device, dtype, widths, inner: f"{dtype} of {widths}, {inner}")
    assert not fuse_blocks([bert], GPU, "bf16")
    assert "operation by operation, for torch.bfloat16 of {32}, {(64, 'gelu')}" in caplog.text
    wide = model("bert", hidden_size=2048, num_attention_heads=4, intermediate_size=8)
    assert not fuse_blocks([wide], GPU, "bf16")
    assert "hidden states of 2048 values are wider than 1024" in caplog.text
    assert [type(part) for part in block_parts(bert)] == kinds
    assert not fuse_blocks([model("modernbert")], GPU, "bf16")
    monkeypatch.setattr(fused_blocks, "trial", lambda *_: None)
    assert fuse_blocks([bert], GPU, "tf32")
    assert all(type(part).__name__.startswith("Fused") for part in block_parts(bert))
