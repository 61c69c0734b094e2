"""Objectives whose logits kernels compare: the plain formulas' loss and gradients, padded, packed and with fill."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from helpers import pretraining as tiny
from helpers.map_terms import INTERPRETED
from helpers.objectives import CLOSE, ROOMY, assert_equal, distillation, micro_batches

from compactbio.pretraining import attention_choice, layout
from compactbio.pretraining import distillation as step

pytestmark = INTERPRETED
SOFT = [{"term": "soft_cross_entropy", "weight": 2.0}, {"term": "logit_kl", "weight": 3.0, "temperature": 2.0}]
OBJECTIVES = {"mlm": tiny.MLM, "distil": tiny.DISTIL, "soft": [*tiny.MLM, *SOFT]}
SHAPES = {"padded": {}, "packed": {"packed": True}, "half fill": {"fixed": ROOMY}, "little fill": {"fixed": CLOSE}}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def calls(monkeypatch):
    """The formulas that kernels gave."""
    made, real = [], step.compare_logits

    def compare(student, other, formula, **options):
        made.append(formula)
        return real(student, other, formula, **options)

    monkeypatch.setattr(step, "compare_logits", compare)
    return made


def loss_and_gradients(objective, batches, *, kernels):
    student, teacher = tiny.bert(hidden=32, seed=2), tiny.bert(layers=4, seed=1)
    module = distillation(student, copy.deepcopy(teacher), objective, tiny.REFERENCE)
    module.logit_kernels = kernels
    denominators = {name: sum(batch.counts[name] for batch in batches) for name in batches[0].counts}
    loss = torch.stack([module(batch.tensors, denominators) for batch in batches]).sum()
    loss.backward()
    return loss.item(), {name: value.grad for name, value in module.named_parameters()}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_loss_and_gradients_are_those_of_the_plain_formulas(name, shape, calls):
    objective, batches = OBJECTIVES[name], micro_batches([4], **SHAPES[shape])
    plain = loss_and_gradients(objective, batches, kernels=False)
    assert calls == []
    found = loss_and_gradients(objective, batches, kernels=True)
    assert len(calls) == len(batches) * sum(one["term"] in FORMULAS for one in objective)
    assert set(calls) == {FORMULAS[one["term"]] for one in objective if one["term"] in FORMULAS}
    assert found[0] == pytest.approx(plain[0], rel=1e-6)
    assert_equal(found[1], plain[1], 5e-6)


FORMULAS = {"mlm": "labels", "logit_kl": "kl", "soft_cross_entropy": "cross_entropy"}


def test_half_precision_is_near_and_gives_gradients_of_the_weights_type(calls):
    batches = micro_batches([4])
    exact = loss_and_gradients(tiny.DISTIL, batches, kernels=False)
    with torch.autocast("cpu", torch.bfloat16):
        half = loss_and_gradients(tiny.DISTIL, batches, kernels=True)
    assert calls
    assert half[0] == pytest.approx(exact[0], rel=2e-2)
    assert {value.dtype for value in half[1].values()} == {torch.float32}


@pytest.mark.parametrize(
    ("terms", "logits"),
    [
        (tiny.DISTIL, ["mlm", "logit_kl"]),
        (tiny.MLM, ["mlm"]),
        (tiny.COMPACT[1:3], []),
        (tiny.TINY, [tiny.TINY[2]["term"]]),
    ],
)
def test_what_an_objective_reads_decides(terms, logits, monkeypatch):
    module = distillation(tiny.bert(hidden=32), tiny.bert(layers=4), terms, tiny.SOUND)
    asked = []
    monkeypatch.setattr(layout, "logit_refusal", lambda device, **options: asked.append(options))
    assert layout.takes_logit_kernels(module, torch.device("cuda"), "fp32", 120) is bool(logits)
    if logits:
        [options] = asked
        assert (options["precision"], options["vocabulary"]) == ("fp32", tiny.VOCABULARY)
        assert [entry.term.name for entry in options["entries"]] == logits
    monkeypatch.setattr(layout, "logit_refusal", lambda *_, **__: "no compiler")
    assert not layout.takes_logit_kernels(module, torch.device("cuda"), "fp32", 120)
    assert not layout.takes_logit_kernels(module, torch.device("cpu"), "fp32", 120)


@pytest.mark.parametrize("refused", [None, "no compiler"])
def test_the_choice_is_made_before_memory_is_measured_and_the_log_says_it(refused, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    store = tiny.open_store(tmp_path / "store")
    module = distillation(tiny.bert(hidden=32), tiny.bert(layers=4), tiny.DISTIL, tiny.REFERENCE)
    accelerator = SimpleNamespace(device=torch.device("cuda"), num_processes=1, process_index=0, mixed_precision="bf16")
    seen = []
    monkeypatch.setattr(layout, "logit_refusal", lambda *_, **__: refused)
    monkeypatch.setattr(layout, "fuse_blocks", lambda *_: False)
    monkeypatch.setattr(layout, "probe_positions", lambda *_, **__: seen.append(module.logit_kernels) or 96)
    monkeypatch.setattr(attention_choice, "candidates", lambda *_, **__: ["flash"])
    monkeypatch.setattr(attention_choice, "first_usable", lambda *_, **__: ("flash", {}))
    layout.batches_of(store, tiny.masking(), module, accelerator, None)
    assert seen == [refused is None] == [module.logit_kernels]
    assert caplog.text.count("terms on logits: ") == 1
    assert f"terms on logits: {'by kernels, in Triton' if refused is None else 'plain, for no compiler'}" in caplog.text
