"""Objectives whose maps kernels compare: the loss and gradients of written maps, padded and packed, with dropout."""

from __future__ import annotations

import copy
import itertools
from types import SimpleNamespace

import pytest
import torch
from helpers import map_dropout
from helpers import pretraining as tiny
from helpers.map_terms import INTERPRETED
from helpers.objectives import CLOSE, assert_equal, distillation, micro_batches

from compactbio.pretraining import attention, attention_choice, layout
from compactbio.pretraining.padded_classes import PaddedClasses
from compactbio.pretraining.shape_sizes import PackedShapes
from compactbio.terms.objective import read_objective

pytestmark = INTERPRETED
QUIRKS = {
    "reference": tiny.REFERENCE,
    "sound": tiny.SOUND,
    "maps before dropout": tiny.REFERENCE | {"maps_after_dropout": "sound"},
    "real tokens": tiny.REFERENCE | {"mse_over_padding": "sound"},
}
OBJECTIVES = {"compact": (tiny.COMPACT, 32), "tiny": (tiny.TINY, 16)}
RELATIONS = [{"term": "value_relation_kl", "weight": 1.0, "layers": [[2, 4]]}]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def models(hidden, dropout=0.0):
    student, teacher = tiny.bert(hidden=hidden, seed=2), tiny.bert(layers=4, seed=1)
    for model in (student, teacher):
        attention.set_attention_dropout(model, dropout)
    return student, teacher


def loss_and_gradients(student, teacher, objective, quirks, batches, *, kernels):
    module = distillation(copy.deepcopy(student), copy.deepcopy(teacher), objective, quirks)
    module.map_kernels = kernels
    denominators = {name: sum(batch.counts[name] for batch in batches) for name in batches[0].counts}
    loss = torch.stack([module(batch.tensors, denominators) for batch in batches]).sum()
    loss.backward()
    return loss.item(), {name: value.grad for name, value in module.named_parameters()}


@pytest.mark.parametrize(
    ("objective", "quirks", "packed"),
    [
        ("compact", "reference", True),
        ("compact", "sound", False),
        ("compact", "sound", True),
        ("tiny", "reference", False),
        ("tiny", "real tokens", True),
        ("tiny", "sound", True),
    ],
)
def test_loss_and_gradients_are_those_of_written_maps(objective, quirks, packed):
    terms, hidden = OBJECTIVES[objective]
    over_padding = any(entry.term.over_padding for entry in read_objective(terms, QUIRKS[quirks]))
    common = (*models(hidden), terms, QUIRKS[quirks])
    padded = micro_batches([4], to_max_length=over_padding)[:1]
    written = loss_and_gradients(*common, padded, kernels=False)
    taken = micro_batches([4], fixed=CLOSE)[:1] if packed else padded
    found = loss_and_gradients(*common, taken, kernels=True)
    assert found[0] == pytest.approx(written[0], rel=2e-6)
    assert_equal(found[1], written[1], 5e-6)


@pytest.mark.parametrize(
    ("objective", "quirks"),
    [("compact", "reference"), ("compact", "maps before dropout"), ("tiny", "reference"), ("tiny", "real tokens")],
)
def test_terms_and_output_of_attention_read_one_draw_of_dropout(monkeypatch, quirks, objective):
    """Written maps get the draws of the kernels; all other dropout is 0."""
    terms, hidden = OBJECTIVES[objective]
    over_padding = any(entry.term.over_padding for entry in read_objective(terms, QUIRKS[quirks]))
    batches = micro_batches([2], to_max_length=over_padding)[:1]  # the interpreter takes its time for Philox
    common = (*models(hidden, dropout=0.3), terms, QUIRKS[quirks], batches)

    def drop(maps, probability):
        count, heads, length, _ = maps.shape
        return maps * map_dropout.factors(next(seeds), count, heads, length, probability).float()

    monkeypatch.setattr(attention, "drop", drop)
    monkeypatch.setattr(attention, "draw_seed", lambda device: torch.tensor([next(seeds)]))
    results = []
    for kernels in (False, True):
        seeds = itertools.count(100)  # layers come in one order: of the student, then of the teacher
        results.append(loss_and_gradients(*common, kernels=kernels))
        drawn = next(seeds) - 100
        assert drawn > 0
    assert results[1][0] == pytest.approx(results[0][0], rel=2e-6)
    assert_equal(results[1][1], results[0][1], 5e-6)


def test_half_precision_is_near_and_gives_gradients_of_the_weights_type():
    terms, hidden = OBJECTIVES["compact"]
    common = (*models(hidden), terms, tiny.REFERENCE, micro_batches([4])[:1])
    exact = loss_and_gradients(*common, kernels=False)
    with torch.autocast("cpu", torch.float16):  # the interpreter has no bfloat16
        half = loss_and_gradients(*common, kernels=True)
    assert half[0] == pytest.approx(exact[0], rel=2e-2)
    assert {value.dtype for value in half[1].values()} == {torch.float32}


def test_terms_of_other_states_stay_written(monkeypatch):
    """With relations beside maps, maps are compared on the chip, in padded micro-batches."""
    common = (*models(32), tiny.COMPACT + RELATIONS, tiny.SOUND, micro_batches([2])[:1])
    written, found = (loss_and_gradients(*common, kernels=kernels) for kernels in (False, True))
    assert found[0] == pytest.approx(written[0], rel=2e-6)
    assert_equal(found[1], written[1], 5e-6)


@pytest.mark.parametrize(
    ("terms", "reads_maps", "only_maps"),
    [(tiny.COMPACT, True, True), (tiny.DISTIL, False, True), (RELATIONS, False, False), (tiny.TINY, True, True)],
)
def test_what_an_objective_reads_decides(monkeypatch, terms, reads_maps, only_maps):
    module = distillation(*models(32), terms, tiny.SOUND)
    assert (module.reads_maps, module.reads_only_maps) == (reads_maps, only_maps)
    asked = []
    monkeypatch.setattr(layout, "map_refusal", lambda device, **options: asked.append(options))
    assert layout.takes_map_kernels(module, torch.device("cuda"), "bf16", 24) is reads_maps
    entries = [entry for entry in module.objective if entry.term.reads_attention]
    assert asked == [{"precision": "bf16", "longest": 24, "head_sizes": (8, 8), "entries": entries}] * reads_maps
    monkeypatch.setattr(layout, "map_refusal", lambda *_, **__: "no compiler")
    assert not layout.takes_map_kernels(module, torch.device("cuda"), "bf16", 24)
    assert not layout.takes_map_kernels(module, torch.device("cpu"), "bf16", 24)


@pytest.mark.parametrize(
    ("terms", "quirks", "refused", "form"),
    [
        (tiny.COMPACT, tiny.REFERENCE, None, PackedShapes),
        (tiny.COMPACT, tiny.REFERENCE, "no compiler", PaddedClasses),
        (tiny.COMPACT + RELATIONS, tiny.SOUND, None, PaddedClasses),
        (tiny.TINY, tiny.REFERENCE, None, PaddedClasses),
        (tiny.TINY, tiny.SOUND, None, PackedShapes),
    ],
)
def test_micro_batches_on_a_gpu_have_fixed_shapes(terms, quirks, refused, form, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    store = tiny.open_store(tmp_path / "store")
    module = distillation(*models(32), terms, quirks)
    accelerator = SimpleNamespace(device=torch.device("cuda"), num_processes=1, process_index=0, mixed_precision="bf16")
    monkeypatch.setattr(layout, "map_refusal", lambda *_, **__: refused)
    monkeypatch.setattr(layout, "fuse_blocks", lambda *_: False)
    monkeypatch.setattr(layout, "logit_refusal", lambda *_, **__: "no compiler")
    monkeypatch.setattr(attention_choice, "candidates", lambda *_, **__: ["flash"])
    monkeypatch.setattr(attention_choice, "first_usable", lambda *_, **__: ("flash", {}))
    batches = layout.batches_of(store, tiny.masking(), module, accelerator, 96)
    assert isinstance(batches.fixed, form)
    assert module.map_kernels is (refused is None)
    reason = "compared on the chip, by Triton" if refused is None else "written, for no compiler"
    assert f"attention maps: {reason}" in caplog.text
    made = [batch for step in (1, 2) for batch in batches(step)]
    assert all(batch.fixed for batch in made)
    assert sum(batch.counts["sequences"] for batch in made) == 16
    if form is PaddedClasses and terms is tiny.TINY:  # it averages over padding
        assert {batch.tensors["input_ids"].shape[1] for batch in made} == {tiny.MAX_LENGTH}
