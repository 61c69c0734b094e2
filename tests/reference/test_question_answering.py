"""Question answering: with `qa_loss_over_padding: reference` the loss is that of the authors' script.

It pads every window to max_length and takes the loss of transformers' AutoModelForQuestionAnswering, whose softmax over
start and end runs over all places, padding included.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from helpers.finetuning import VOCABULARY, qa_rows, run_settings, write_model
from torch.nn.utils import parameters_to_vector

from compactbio.finetuning.features import Feature, PieceTokenizer, collate
from compactbio.finetuning.kinds import task_kind
from compactbio.finetuning.kinds.task_kind import Examples
from compactbio.finetuning.model.predicted_logits import predict_logits
from compactbio.finetuning.model.seen_embeddings import SeenEmbeddings
from compactbio.finetuning.model.task_model import load_task_model
from compactbio.finetuning.model.task_step import TaskStep
from compactbio.finetuning.packed import batching
from compactbio.finetuning.packed.batching import training_batches
from compactbio.finetuning.packed.fixed_shapes import FixedShapes, Shape
from compactbio.kinds import KINDS
from compactbio.tasks.rows import Rows
from compactbio.training.processes import start_accelerator

torch.set_num_threads(1)

LENGTH = 48
REFERENCE = {"qa_loss_over_padding": "reference"}
SOUND = {"qa_loss_over_padding": "sound"}


@pytest.fixture(params=["bert", "distilbert", "mobilebert"])
def folder(request, tmp_path):
    return write_model(tmp_path / "model", architecture=request.param)


def windows(count: int = 16) -> list[Feature]:
    draw = np.random.default_rng(1)
    made = []
    for _ in range(count):
        length = int(draw.integers(6, 20))
        start, end = np.sort(draw.integers(3, length - 1, size=2))
        targets = {"start": np.asarray(start), "end": np.asarray(end)}
        made.append(Feature(draw.integers(5, len(VOCABULARY), size=length), 3, targets))
    return made


def plain(folder, features: list[Feature]) -> tuple[float, torch.Tensor]:
    """Return loss and gradient of transformers' own model, eager, on all windows padded to LENGTH in one batch."""
    model = load_task_model(folder, "qa", [], seed=5).eval()
    model.set_attn_implementation("eager")
    types = model.config.model_type != "distilbert"
    arrays = collate(features, 0, token_types=types, length=LENGTH)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    targets = {f"{name}_positions": tensors.pop(name) for name in ("start", "end")}
    loss = model(**tensors, **targets).loss
    loss.backward()
    return loss.item(), gradient_of(model)


def gradient_of(model, words: torch.Tensor | None = None) -> torch.Tensor:
    """Return all gradients joined; `words` stands for that of the word embeddings, whose table may be cut."""
    of_words = model.get_input_embeddings().weight
    parts = []
    for value in model.parameters():
        gradient = torch.zeros_like(value) if value.grad is None else value.grad
        parts.append(words if value is of_words and words is not None else gradient)
    return parameters_to_vector(parts)


def ours(folder, features: list[Feature], quirks, *, fixed: bool = False) -> tuple[float, torch.Tensor, int]:
    """Return loss, gradient and number of micro-batches as fine-tuning computes them, its word embeddings cut."""
    step = TaskStep(load_task_model(folder, "qa", [], seed=5), "qa", quirks=quirks).eval()
    seen = SeenEmbeddings(step.model, features, 0, lambda number: 1.0)
    over_padding = step.kind.over_padding
    packed = not over_padding
    if packed:
        step.take_packed(LENGTH)
    made = training_batches(
        seen.translate(features),
        KINDS["qa"].denominator,
        partial(step.kind.counted, class_weights=None),
        batch_size=len(features),
        seed=3,
        pad=seen.pad,
        token_types=step.token_types,
        heads=step.model.config.num_attention_heads if packed else None,
        length=LENGTH if over_padding else None,
        shapes=FixedShapes(None, 5, (Shape(LENGTH, LENGTH),), seen.pad, step.token_types) if fixed else None,
    )(1)
    denominators = {name: sum(batch.counts[name] for batch in made) for name in made[0].counts}
    assert denominators["windows"] == len(features)
    assert denominators["tokens"] == sum(len(feature.ids) for feature in features)  # real ones
    loss = 0.0
    for batch in made:
        share = step(batch.tensors, denominators)
        share.backward()
        loss += share.item()
    words = torch.zeros_like(seen.table.weight)
    words[seen.rows] = step.model.get_input_embeddings().weight.grad
    return loss, gradient_of(step.model, words), len(made)


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize(("fixed", "pieces"), [(False, 10_000), (False, 3 * LENGTH), (True, 0)])
def test_loss_and_gradient_are_those_of_a_plain_padded_model(folder, fixed, pieces, monkeypatch):
    monkeypatch.setitem(batching.TRAINED_PIECES, "cpu", pieces)
    expected, gradient = plain(folder, windows())
    loss, mine, count = ours(folder, windows(), REFERENCE, fixed=fixed)
    assert count == (-(-len(windows()) // 5) if fixed else 6 if pieces == 3 * LENGTH else 1)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert difference(mine, gradient) < 1e-6


def test_the_two_values_differ_on_the_same_windows_and_weights(folder):
    over_padding, gradient, _ = ours(folder, windows(), REFERENCE)
    over_pieces, other, _ = ours(folder, windows(), SOUND)
    assert over_padding > over_pieces + 0.5  # more places to choose among
    assert difference(other, gradient) > 0.05
    assert ours(folder, windows(), {})[0] == over_pieces  # a run file without the switch, as before there was one


def test_validation_takes_the_loss_that_training_takes_and_the_answers_of_real_pieces(folder):
    rows = Rows(qa_rows(12, seed=2), None)
    settings = run_settings("qa", [], max_length=LENGTH)
    metrics = {}
    for quirks in (REFERENCE, SOUND):
        kind = task_kind("qa", quirks)
        step = TaskStep(load_task_model(folder, "qa", [], seed=5), "qa", quirks=quirks)
        made = kind.make_features(rows, [], PieceTokenizer(folder), settings["hyperparameters"], has_answers=True)
        part = Examples(made.features, made.origin, made.notes, rows, [])
        length = LENGTH if kind.over_padding else None
        logits = predict_logits(step, part.features, 0, start_accelerator("fp32"), length)
        metrics[kind.over_padding] = kind.validation_metrics(settings, part, logits)
        assert {len(values) for values in logits} == ({LENGTH} if length else {len(f.ids) for f in part.features})
    expected, _ = plain(folder, part.features)
    assert metrics[True]["loss"] == pytest.approx(expected, rel=1e-6)
    assert metrics[False]["loss"] < metrics[True]["loss"] - 0.5
    assert {**metrics[True], "loss": 0} == {**metrics[False], "loss": 0}
