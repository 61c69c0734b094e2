"""Models whose blocks end in the kernel give what they gave before, in Triton's interpreter."""

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
from compactbio.kernels import fused_norms
from compactbio.kernels.fused_norms import block_ends, fuse_norms, install, trial
from compactbio.students.models import random_masked_lm

pytestmark = INTERPRETED
CPU, GPU = torch.device("cpu"), torch.device("cuda")
ENDS = {"bert": 2, "roberta": 2, "electra": 2, "distilbert": 1, "mobilebert": 8, "modernbert": 0}  # of a layer
VARIANTS = {
    "layer norms": {"normalization_type": "layer_norm"},
    "no bottlenecks": {"use_bottleneck": False, "intra_bottleneck_size": 32, "embedding_size": 32},
    "one feed-forward part": {"num_feedforward_networks": 1},
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


def test_every_architecture_says_where_its_blocks_end():
    assert ENDS.keys() == ARCHITECTURES.keys()
    for architecture, count in ENDS.items():
        assert len(block_ends(model(architecture))) == 2 * count, architecture


@pytest.mark.parametrize("architecture", [name for name, count in ENDS.items() if count])
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


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_mobileberts_of_other_shapes_stay(changes):
    plain = model("mobilebert", **changes).eval()
    fused = copy.deepcopy(plain)
    install(fused)
    ids = torch.randint(5, 150, (2, 9), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fused(ids).logits, plain(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", [name for name, count in ENDS.items() if count])
def test_dropout_falls_where_it_fell(architecture):
    """None in evaluation; in training the share of zeros that each end's dropout has, where it has one."""
    plain = model(architecture, dropout=0.4).eval()
    fused = copy.deepcopy(plain)
    install(fused)
    ids = torch.randint(5, 150, (2, 9), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fused(ids).logits, plain(ids).logits, rtol=1e-5, atol=1e-5)
    shares = []

    def normed(states, residual, norm, dropout, **options):
        applies = dropout is not None and dropout.training
        shares.append(dropout.p if applies else 0.0)
        return real(states, residual, norm, dropout, **options)

    real, fused_norms.normed = fused_norms.normed, normed
    try:
        fused.train()(ids)
    finally:
        fused_norms.normed = real
    wanted = {"distilbert": [0.0, 0.4], "mobilebert": [0.0] * 7 + [0.4]}.get(architecture, [0.4, 0.4])
    assert shares[0] == 0.4  # of the embeddings
    assert sorted(shares[1:]) == sorted(wanted * 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_trial_finds_what_differs(dtype, monkeypatch):
    assert trial(CPU, dtype, {24, 128}) is None
    real = fused_norms.residual_norm
    monkeypatch.setattr(
        fused_norms,
        "residual_norm",
        lambda states, residual, norm, **options: real(
            states, None if residual is None else 1.1 * residual, norm, **options
        ),
    )
    assert trial(CPU, dtype, {24}).startswith("in a trial, their output differ by")


def test_a_gpu_takes_the_kernel_or_the_log_says_why_not(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    bert = model("bert")
    kinds = [type(part) for part in block_ends(bert)]
    assert not fuse_norms([bert], CPU, "fp32")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(fused_norms, "trial", lambda device, dtype, widths: f"{dtype} of {widths}")
    assert not fuse_norms([bert], GPU, "bf16")
    assert "operation by operation, for torch.bfloat16 of {32}" in caplog.text
    wide = model("bert", hidden_size=2048, num_attention_heads=4, intermediate_size=8)
    assert not fuse_norms([wide], GPU, "bf16")
    assert "hidden states of 2048 values are wider than 1024" in caplog.text
    assert [type(part) for part in block_ends(bert)] == kinds
    assert not fuse_norms([model("modernbert")], GPU, "bf16")
    monkeypatch.setattr(fused_norms, "trial", lambda *_: None)
    assert fuse_norms([bert], GPU, "tf32")
    assert all(type(part).__name__.startswith("Fused") for part in block_ends(bert))
