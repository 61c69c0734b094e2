"""Training with the embeddings of seen pieces only ends in the weights of training with all of them."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from helpers.finetuning import NER_LABELS, SHAPES, VOCABULARY, write_model

from compactbio.finetuning.features import Feature, collate
from compactbio.finetuning.model.seen_embeddings import SeenEmbeddings
from compactbio.finetuning.model.task_model import load_task_model
from compactbio.finetuning.model.task_step import TaskStep
from compactbio.finetuning.packed.batching import to_tensors, training_batches
from compactbio.training.optimizer_settings import GroupRule, OptimizerSettings
from compactbio.training.optimizers import build_optimizer, set_learning_rates, treatments

torch.set_num_threads(1)
DECAY, STEPS = 0.1, 6
ADAMW = OptimizerSettings(DECAY)
SEEN = [2, 3, 7, 9, 12, 20]  # ids; 0 is the padding piece


def rate(step: int) -> float:
    return 1e-2 / step


def features() -> list[Feature]:
    draw = np.random.default_rng(1)
    made = []
    for length in draw.integers(3, 12, size=24):
        labels = draw.integers(0, 3, size=length)
        made.append(Feature(draw.choice(SEEN, size=length), int(length), {"labels": labels}))
    return made


def cut_of(step: TaskStep, settings: OptimizerSettings = ADAMW) -> SeenEmbeddings:
    words = step.model.get_input_embeddings().weight
    [name] = [name for name, value in step.named_parameters() if value is words]
    return SeenEmbeddings(step.model, features(), 0, treatments(step, settings)[name].decay_without_gradient(rate))


def trained(step: TaskStep, examples: list[Feature], packed: bool, settings: OptimizerSettings = ADAMW) -> None:
    """Take STEPS steps of an optimizer."""
    optimizer = build_optimizer(step, settings)
    batches = training_batches(
        examples,
        step.record.denominator,
        partial(step.kind.counted, class_weights=None),
        batch_size=8,
        seed=3,
        pad=0,
        token_types=step.token_types,
        heads=2 if packed else None,
    )
    for number in range(1, STEPS + 1):
        made = batches(number)
        denominators = {name: sum(batch.counts[name] for batch in made) for name in made[0].counts}
        for batch in made:
            step(batch.tensors, denominators).backward()
        set_learning_rates(optimizer, rate(number))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def new_step(folder, packed: bool) -> TaskStep:
    step = TaskStep(load_task_model(folder, "ner", NER_LABELS, seed=5), "ner").eval()
    if packed:
        step.take_packed(64)
    return step


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("architecture", SHAPES)
def test_all_weights_are_those_of_training_the_whole_table(architecture, packed, tmp_path):
    folder = write_model(tmp_path / "model", architecture=architecture)
    whole = new_step(folder, packed)
    trained(whole, features(), packed)

    step = new_step(folder, packed)
    before = step.model.get_input_embeddings().weight.detach().clone()
    seen = cut_of(step)
    assert step.model.get_input_embeddings().num_embeddings == len(SEEN) + 1
    trained(step, seen.translate(features()), packed)
    with seen.whole(STEPS):
        inside = step.model.get_input_embeddings().weight.detach().clone()
    assert step.model.get_input_embeddings().num_embeddings == len(SEEN) + 1
    seen.restore(STEPS)
    assert torch.equal(step.model.get_input_embeddings().weight, inside)

    expected, mine = whole.state_dict(), step.state_dict()
    assert expected.keys() == mine.keys()
    for name, value in expected.items():
        torch.testing.assert_close(mine[name], value, rtol=1e-5, atol=2e-6)
    unseen = sorted(set(range(1, len(VOCABULARY))) - set(SEEN))
    kept = np.prod([1.0 - rate(number) * DECAY for number in range(1, STEPS + 1)])
    torch.testing.assert_close(inside[unseen], before[unseen] * kept, rtol=1e-6, atol=0.0)
    assert not torch.allclose(inside[SEEN], before[SEEN] * kept, atol=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        OptimizerSettings(DECAY, 1e-2, optimizer={"name": "muon"}),
        OptimizerSettings(DECAY, groups=[GroupRule("embeddings", 0.5, 0.3)]),
    ],
    ids=["muon", "groups"],
)
def test_other_optimizers_too(settings, tmp_path):
    folder = write_model(tmp_path / "model")
    whole, step = new_step(folder, packed=False), new_step(folder, packed=False)
    trained(whole, features(), False, settings)
    seen = cut_of(step, settings)
    assert step.model.get_input_embeddings().num_embeddings == len(SEEN) + 1
    trained(step, seen.translate(features()), False, settings)
    seen.restore(STEPS)
    for mine, expected in zip(step.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=2e-6)


def test_an_optimizer_that_moves_unseen_embeddings_trains_the_whole_table(tmp_path):
    step = new_step(write_model(tmp_path / "model"), packed=False)
    before = step.model.get_input_embeddings().weight.detach().clone()
    seen = SeenEmbeddings(step.model, features(), 0, None)
    assert step.model.get_input_embeddings().num_embeddings == len(VOCABULARY)
    assert [one.ids.tolist() for one in seen.translate(features())] == [one.ids.tolist() for one in features()]
    seen.restore(STEPS)
    assert torch.equal(step.model.get_input_embeddings().weight, before)


@torch.no_grad()
def test_positions_that_begin_behind_padding_s_id_do_not_follow_rows_of_the_cut_table(tmp_path):
    pad = 5  # of the whole table; row 2 of the cut one
    folder = write_model(tmp_path / "model", architecture="roberta")
    configuration = json.loads((folder / "config.json").read_text()) | {"pad_token_id": pad}
    (folder / "config.json").write_text(json.dumps(configuration))
    step = new_step(folder, packed=False)
    before = step.logits(to_tensors(collate(features(), pad, token_types=False)))
    seen = SeenEmbeddings(step.model, features(), pad, lambda number: 1.0)
    after = step.logits(to_tensors(collate(seen.translate(features()), seen.pad, token_types=False)))
    for mine, expected, feature in zip(after, before, features(), strict=True):
        torch.testing.assert_close(mine[: len(feature.ids)], expected[: len(feature.ids)])
        (alone,) = load_task_model(folder, "ner", NER_LABELS, seed=5)(torch.tensor(feature.ids)[None]).logits
        torch.testing.assert_close(mine[: len(feature.ids)], alone, atol=1e-5, rtol=1e-5)


def test_padding_keeps_its_row_and_takes_no_gradient(tmp_path):
    step = new_step(write_model(tmp_path / "model"), packed=False)
    seen = cut_of(step)
    table = step.model.get_input_embeddings()
    assert table.padding_idx == seen.places[0] == 0
    assert seen.places[SEEN].tolist() == [1, 2, 3, 4, 5, 6]
    assert (seen.places == -1).sum() == len(VOCABULARY) - len(SEEN) - 1
    assert table.weight.requires_grad
