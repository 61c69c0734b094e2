"""Batches: plain shuffling, the cheapest cut, and gradients that do not depend on it."""

from __future__ import annotations

import contextlib
import itertools
from functools import partial

import numpy as np
import pytest
import torch
from helpers.finetuning import NER_LABELS, SHAPES, VOCABULARY, write_model

from compactbio.finetuning.features import Feature
from compactbio.finetuning.kinds import ner, task_kind
from compactbio.finetuning.model.predicted_logits import in_micro_batches, repeated_length
from compactbio.finetuning.model.task_model import load_task_model
from compactbio.finetuning.model.task_step import TaskStep
from compactbio.finetuning.packed import batching, fixed_shapes, groups
from compactbio.finetuning.packed.batching import (
    batch_lengths,
    epoch_order,
    examples_of_shapes,
    prediction_micro_batches,
    training_batches,
)
from compactbio.finetuning.packed.fixed_shapes import plan_shapes
from compactbio.kinds import KINDS
from compactbio.pretraining.packed_attention import FLASH, UNPACKED
from compactbio.training.capture import _key
from compactbio.training.cuts import cheapest_cuts, fewest_cuts
from compactbio.training.dropout import replace_dropout

torch.set_num_threads(1)


def random_features(count: int, task: str, seed: int = 0) -> list[Feature]:
    draw = np.random.default_rng(seed)
    features = []
    for _ in range(count):
        length = int(draw.integers(4, 30))
        values = draw.integers(5, len(VOCABULARY), size=length)
        targets = {
            "ner": {"labels": np.where(draw.random(length) < 0.7, draw.integers(0, 3, size=length), -100)},
            "re": {"labels": np.asarray(draw.integers(0, 2))},
            "qa": {"start": np.asarray(draw.integers(0, 3)), "end": np.asarray(draw.integers(0, 3))},
        }[task]
        features.append(Feature(values, length // 2, targets))
    return features


def batches_of(features, task, seed=3, layout="padded", class_weights=None, token_types=True):
    shapes = None
    if layout in ("kernel", "rows"):
        shapes = plan_shapes(
            batch_lengths(features, batch_size=8, seed=seed, epochs=2),
            kernel=UNPACKED if layout == "kernel" else None,
            batch_size=8,
            pad=0,
            token_types=token_types,
        )
    return training_batches(
        features,
        KINDS[task].denominator,
        partial(task_kind(task).counted, class_weights=class_weights),
        batch_size=8,
        seed=seed,
        pad=0,
        token_types=token_types,
        heads=2 if layout == "grouped" else None,
        shapes=shapes,
    )


@pytest.fixture(params=["padded", "grouped", "kernel", "rows"])
def layout(request, monkeypatch):
    """All layouts, cut so small that a batch has several micro-batches and, in groups, several of these."""
    monkeypatch.setitem(batching.TRAINED_PIECES, "cpu", 90)
    monkeypatch.setattr(fixed_shapes, "MOST_PIECES", 90)
    monkeypatch.setattr(groups, "START_COST", 10)
    return request.param


def task_step(folder, task, labels, weights=None, layout="padded"):
    """A step without dropout."""
    step = TaskStep(load_task_model(folder, task, labels, seed=5), task, weights).eval()
    if layout in ("grouped", "kernel"):
        step.take_packed(64)
    return step


def for_kernels(architecture):
    """What differs in a model's shape so that kernels take its packed sequences: no layer has a window."""
    return {"layer_types": ["full_attention"] * 2} if architecture == "modernbert" else {}


def one_by_one(step, feature):
    """What a model of transformers is given for one sequence without padding."""
    inputs = {"input_ids": torch.tensor(feature.ids)[None]}
    if step.token_types:
        types = np.arange(len(feature.ids)) >= feature.first_segment
        inputs["token_type_ids"] = torch.tensor(types.astype(np.int64))[None]
    return inputs


@pytest.mark.parametrize(("device", "sizes"), [("cpu", [20, 20, 20, 4]), ("cuda", [64])])
def test_a_gpu_is_given_more_at_once_also_where_no_shape_is_fixed(device, sizes):
    features = [Feature(np.full(100, 5), 50, {"labels": np.asarray(0)})] * 64
    counting = (KINDS["re"].denominator, partial(task_kind("re").counted, class_weights=None))
    options = {"batch_size": 64, "seed": 1, "pad": 0, "token_types": True, "heads": None, "device": device}
    assert [len(batch.tensors["input_ids"]) for batch in training_batches(features, *counting, **options)(1)] == sizes


def test_an_epoch_shows_every_example_once_in_an_order_of_its_own():
    orders = [epoch_order(50, seed, epoch).tolist() for seed, epoch in [(1, 0), (1, 1), (2, 0)]]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert epoch_order(50, 1, 0).tolist() == orders[0]


@pytest.mark.parametrize("start_cost", [0, 3, 20, 1000])
def test_the_cut_is_the_cheapest_of_all(start_cost):
    draw = np.random.default_rng(start_cost)
    for _ in range(20):
        lengths = sorted(draw.integers(1, 40, size=7).tolist())

        def cost(cuts, lengths=lengths):
            edges = [0, *cuts, len(lengths)]
            return sum(start_cost + (b - a) * lengths[b - 1] for a, b in itertools.pairwise(edges))

        best = min(cost(cuts) for size in range(7) for cuts in itertools.combinations(range(1, 7), size))
        ranges = cheapest_cuts(lengths, start_cost)
        assert [begin for begin, _ in ranges] == [0, *[end for _, end in ranges[:-1]]]
        assert cost([end for _, end in ranges[:-1]]) == best


def test_the_fewest_parts_are_as_full_as_they_may_be():
    assert fewest_cuts([1, 2, 3, 4, 5, 9, 20, 30], 10) == [(0, 4), (4, 5), (5, 6), (6, 7), (7, 8)]
    assert fewest_cuts([5], 3) == [(0, 1)]
    assert fewest_cuts([2] * 6, 6) == [(0, 3), (3, 6)]


def test_a_step_holds_the_examples_of_plain_shuffling():
    features = random_features(21, "re")
    batches = batches_of(features, "re")
    order = epoch_order(21, 3, 0)
    for step, expected in enumerate([order[:8], order[8:16], order[16:]], start=1):
        made = batches(step)
        rows = [
            tuple(row[mask.bool()].tolist())
            for batch in made
            for row, mask in zip(batch.tensors["input_ids"], batch.tensors["attention_mask"], strict=True)
        ]
        assert sorted(rows) == sorted(tuple(features[i].ids.tolist()) for i in expected)
        assert sum(batch.counts["examples"] for batch in made) == len(expected)
    again = batches_of(features, "re")(2)
    assert all(
        torch.equal(one.tensors["input_ids"], two.tensors["input_ids"])
        for one, two in zip(batches(2), again, strict=True)
    )


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "bert", masked_lm=True)


@pytest.mark.parametrize("architecture", SHAPES)
@pytest.mark.parametrize("task", ["ner", "re", "qa"])
def test_gradients_are_those_of_the_whole_batch_through_transformers_own_loss(task, architecture, layout, tmp_path):
    labels = {"ner": NER_LABELS, "re": ["0", "1"], "qa": []}[task]
    changes = for_kernels(architecture) if layout == "kernel" else {}
    folder = write_model(tmp_path / "model", architecture=architecture, **changes)
    step = task_step(folder, task, labels, layout=layout)
    if architecture == "mobilebert":  # what stands behind a last token differs by padding: nothing, without it
        step.model.base_model.embeddings.word_embeddings.weight.data[0] = 0.0
    features = random_features(8, task)
    micro_batches = batches_of(features, task, layout=layout, token_types=step.token_types)(1)
    assert len(micro_batches) > 1
    if layout == "grouped":
        assert max(len(batch.tensors["packing"].groups) for batch in micro_batches) > 1
    names = micro_batches[0].counts
    denominators = {name: sum(batch.counts[name] for batch in micro_batches) for name in names}
    total = 0.0
    for batch in micro_batches:
        loss = step(batch.tensors, denominators)
        loss.backward()
        total += loss.item()
    mine = {name: value.grad.clone() for name, value in step.model.named_parameters() if value.grad is not None}

    # oracle: the class's own loss, one sequence at a time without any padding, weighted by hand
    plain = load_task_model(folder, task, labels, seed=5).eval()
    plain.load_state_dict(step.model.state_dict())
    shares = []
    for feature in features:
        targets = {name: torch.tensor(value)[None] for name, value in feature.targets.items()}
        if task == "qa":
            targets = {"start_positions": targets["start"], "end_positions": targets["end"]}
        weight = int((feature.targets["labels"] != -100).sum()) if task == "ner" else 1
        if weight:
            shares.append((weight, plain(**one_by_one(step, feature), **targets).loss))
    loss = sum(weight * value for weight, value in shares) / sum(weight for weight, _ in shares)
    loss.backward()
    assert total == pytest.approx(loss.item(), rel=1e-5)
    largest = max(float(value.grad.abs().max()) for value in plain.parameters() if value.grad is not None)
    for name, value in plain.named_parameters():
        if value.grad is not None:
            torch.testing.assert_close(mine[name], value.grad, rtol=1e-4, atol=1e-6 * max(largest, 1.0))


@pytest.mark.parametrize("task", ["ner", "re"])
def test_weighted_losses_are_torch_s_weighted_mean_over_the_whole_batch(task, layout, model_folder):
    labels = {"ner": NER_LABELS, "re": ["0", "1"]}[task]
    weights = np.array([0.5, 2.0, 5.0][: len(labels)], np.float32)
    step = task_step(model_folder, task, labels, weights, layout)
    features = random_features(8, task)
    micro_batches = batches_of(features, task, layout=layout, class_weights=weights)(1)
    assert len(micro_batches) > 1
    denominators = {name: sum(batch.counts[name] for batch in micro_batches) for name in micro_batches[0].counts}
    total = sum(step(batch.tensors, denominators).item() for batch in micro_batches)
    # oracle: torch's criterion over the logits of every sequence alone
    logits, targets = [], []
    for feature in features:
        output = task_step(model_folder, task, labels).model(**one_by_one(step, feature)).logits
        logits.append(output.reshape(-1, len(labels)))
        targets.append(torch.tensor(feature.targets["labels"]).reshape(-1))
    expected = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights))(torch.cat(logits), torch.cat(targets))
    assert total == pytest.approx(expected.item(), rel=1e-5)
    assert "class_weights" not in step.state_dict()


@pytest.mark.parametrize("kernel", [UNPACKED, None])
@pytest.mark.parametrize("task", ["ner", "re", "qa"])
def test_all_steps_have_one_of_the_shapes_that_are_captured_at_the_start(task, kernel):
    features = sorted(random_features(51, task), key=lambda feature: len(feature.ids))  # the first are the shortest
    lengths = batch_lengths(features, batch_size=8, seed=3, epochs=2)
    shapes = plan_shapes(lengths, kernel=kernel, batch_size=8, pad=0, token_types=True)
    counting = (KINDS[task].denominator, partial(task_kind(task).counted, class_weights=None))
    options = {"batch_size": 8, "seed": 3, "pad": 0, "token_types": True, "heads": None, "shapes": shapes}
    batches = training_batches(features, *counting, **options)
    made = [batch for step in range(1, 15) for batch in batches(step)]
    examples = examples_of_shapes(features, *counting, shapes)
    known = [_key(example.tensors) for example in examples]
    assert len(set(known)) == len(known) == len(shapes.shapes) <= 6
    assert {_key(batch.tensors) for batch in made} <= set(known)
    sizes = [(example.tensors["input_ids"].numel(), example.tensors.get("longest", 0)) for example in examples]
    assert sizes[0] == tuple(map(max, zip(*sizes, strict=True)))
    # each pair of epochs has every example twice, and fill counts nowhere
    assert sum(batch.counts["sequences"] for batch in made) == 2 * len(features)
    assert sum(batch.counts["tokens"] for batch in made) == 2 * sum(len(feature.ids) for feature in features)


def test_balanced_weights_are_scikit_learn_s():
    from sklearn.utils.class_weight import compute_class_weight

    features = random_features(30, "ner")
    targets = np.concatenate([feature.targets["labels"] for feature in features])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets[targets != -100])
    class_weights = ner.KIND.class_weights
    assert class_weights("balanced", features, 3) == pytest.approx(expected, rel=1e-6)
    assert class_weights("balanced", features, 4)[3] == 1.0
    assert class_weights([1, 2.5], features, 2).tolist() == [1.0, 2.5]
    assert class_weights(None, features, 3) is None


def test_added_tokens_get_embeddings_drawn_from_the_seed(model_folder):
    plain = load_task_model(model_folder, "re", ["0", "1"], 5).get_input_embeddings().weight
    one, same, other = (
        load_task_model(model_folder, "re", ["0", "1"], seed, len(VOCABULARY) + 2).get_input_embeddings().weight
        for seed in (5, 5, 6)
    )
    assert one.shape[0] == len(VOCABULARY) + 2
    assert torch.equal(one[:-2], plain) and torch.equal(one, same)
    assert not torch.equal(one[-2:], other[-2:])


def test_prediction_batches_hold_everything_once_within_the_budget(monkeypatch):
    monkeypatch.setitem(batching.PREDICTED_PIECES, "cpu", 60)
    features = random_features(40, "re")
    made = prediction_micro_batches(features, "cpu")
    assert sorted(index for batch in made for index in batch) == list(range(40))
    sizes = [(len(batch), max(len(features[index].ids) for index in batch)) for batch in made]
    assert all(count * longest <= 60 or count == 1 for count, longest in sizes)
    assert prediction_micro_batches([], "cpu") == []


def test_a_gpu_predicts_in_few_lengths():
    features, lengths = random_features(40, "re"), set()

    def logits_of(arrays):
        lengths.add(arrays["input_ids"].shape[1])
        return arrays["input_ids"][..., None].astype(np.float32)

    predicted = in_micro_batches(logits_of, features, 0, token_types=True, device="cuda")
    assert all((row[:, 0] == feature.ids).all() for row, feature in zip(predicted, features, strict=True))
    assert lengths == {max(len(feature.ids) for feature in features)}
    assert [repeated_length(length, 50) for length in (5, 32, 33, 50)] == [32, 32, 50, 50]


@pytest.mark.parametrize("task", ["ner", "re", "qa"])
def test_half_precision_comes_close_to_single_precision_when_packed(task, model_folder, monkeypatch):
    monkeypatch.setattr(groups, "START_COST", 10)
    step = task_step(model_folder, task, {"ner": NER_LABELS, "re": ["0", "1"], "qa": []}[task], layout="grouped")
    (batch,) = batches_of(random_features(8, task), task, layout="grouped")(1)
    gradients = []
    for enabled in (False, True):
        step.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = step(batch.tensors, batch.counts)
        loss.backward()
        gradients.append(torch.cat([value.grad.flatten() for value in step.parameters() if value.grad is not None]))
    assert loss.dtype is torch.float32
    single, half = gradients
    assert torch.linalg.norm(single - half) < 0.03 * torch.linalg.norm(single)


@pytest.mark.parametrize("architecture", SHAPES)
@pytest.mark.parametrize("task", ["ner", "re", "qa"])
def test_a_pass_for_a_kernel_reads_no_value_of_the_device(task, architecture, tmp_path, monkeypatch):
    """Which a capture does not bear: forward and backward on tensors that have shapes and no values."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # it knows no such device
    folder = write_model(tmp_path / "model", architecture=architecture, **for_kernels(architecture))
    step = task_step(folder, task, {"ner": NER_LABELS, "re": ["0", "1"], "qa": []}[task], layout="kernel")
    replace_dropout(step.model)
    step.train().to("meta")
    (batch,) = batches_of(random_features(8, task), task, layout="kernel", token_types=step.token_types)(1)
    tensors = {name: value.to("meta") if torch.is_tensor(value) else value for name, value in batch.tensors.items()}
    loss = step(tensors | {"kernel": FLASH}, {name: torch.empty((), device="meta") for name in batch.counts})
    loss.backward()
    assert loss.shape == () and step.model.get_input_embeddings().weight.grad is not None
