"""A last layer at the masked positions only: equal numbers, chosen by what the terms read, other calls untouched."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import pretraining as tiny
from helpers.objectives import CLOSE, ROOMY, assert_equal, distillation, micro_batches, ours, plainly

from compactbio.benchmarks import reference as plain
from compactbio.pretraining.last_layer import find_last_layer

LOGITS = [*tiny.MLM, {"term": "soft_cross_entropy", "weight": 1.0}]
TOLERANCE = 2e-7  # models in double precision, losses of the terms in fp32
CUTS = [[], [1, 2, 3, 8]]  # the last of the latter's micro-batches has nothing to predict
LAYOUTS = {"padded": {}, "loop": {"packed": True}, "fixed": {"fixed": ROOMY}, "nearly full": {"fixed": CLOSE}}
NARROWED = [tiny.bert, tiny.distilbert, tiny.electra, tiny.roberta]  # not MobileBERT, whose layers are thin
BUILDS = pytest.mark.parametrize("build", NARROWED, ids=lambda build: build.__name__)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def inputs_of_norm(module):
    """Watch how many rows the normalisation behind the last layer's attention sees."""
    layer = find_last_layer(module.student).layer
    norm = layer.sa_layer_norm if module.student.config.model_type == "distilbert" else layer.attention.output.LayerNorm
    rows = []
    norm.register_forward_pre_hook(lambda _, arguments: rows.append(arguments[0].flatten(0, -2).shape[0]))
    return rows


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cuts", CUTS, ids=str)
@BUILDS
def test_masked_language_model_equals_plain_formula(build, cuts, layout):
    student = build(seed=4).double()
    twin = copy.deepcopy(student).train()
    loss, gradients, module = ours(student, None, tiny.MLM, tiny.REFERENCE, cuts, **LAYOUTS[layout])
    assert module.student_side.last_at_masked
    expected, plain_gradients = plainly(twin, None, plain.mlm)
    assert loss == pytest.approx(expected, rel=TOLERANCE)
    assert_equal(gradients, plain_gradients, TOLERANCE)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_terms_on_logits_equal_plain_formulas_for_student_and_teacher(cuts, layout):
    student, teacher = tiny.distilbert(seed=2).double(), tiny.bert(layers=4, seed=1).double()
    twin, teacher_twin = copy.deepcopy(student).train(), copy.deepcopy(teacher).eval()
    loss, gradients, module = ours(student, teacher, LOGITS, tiny.REFERENCE, cuts, **LAYOUTS[layout])
    assert module.student_side.last_at_masked
    assert module.teacher_side.last_at_masked

    def formula(mine, theirs, labels, mask):
        return plain.mlm(mine, labels) + plain.soft_cross_entropy(mine, theirs, labels)

    expected, plain_gradients = plainly(twin, teacher_twin, formula)
    assert loss == pytest.approx(expected, rel=TOLERANCE)
    assert_equal(gradients, plain_gradients, TOLERANCE)


@pytest.mark.parametrize("layout", LAYOUTS)
@BUILDS
def test_only_masked_rows_reach_what_follows_attention(build, layout):
    module = distillation(build(), None, tiny.MLM, tiny.REFERENCE)
    rows = inputs_of_norm(module)
    [batch] = micro_batches([], **LAYOUTS[layout])
    module(batch.tensors, batch.counts)
    assert rows == [len(batch.tensors["labels"])]
    if "masked_lengths" in batch.tensors:
        assert rows[0] == sum(batch.tensors["masked_lengths"]) < batch.counts["tokens"]


@pytest.mark.parametrize("layout", LAYOUTS)
@BUILDS
def test_half_precision_is_near(build, layout):
    losses = []
    for half in (False, True):
        module = distillation(build(seed=4), None, tiny.MLM, tiny.REFERENCE)
        [batch] = micro_batches([], **LAYOUTS[layout])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            loss = module(batch.tensors, batch.counts)
        loss.backward()
        losses.append(loss.item())
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.03)


@pytest.mark.parametrize(
    ("extra", "student", "teacher"),
    [
        ([], True, True),
        ([{"term": "hidden_cosine", "weight": 1.0, "layers": [[1, 3]]}], True, True),
        ([{"term": "hidden_cosine", "weight": 1.0, "layers": [[2, 3]]}], False, True),
        ([{"term": "hidden_cosine", "weight": 1.0, "layers": [[1, 4]]}], True, False),
        ([{"term": "attention_kl", "weight": 1.0, "layers": [[2, 4]]}], False, False),
        ([{"term": "attention_mse", "weight": 1.0, "layers": [[1, 3]]}], True, True),
    ],
)
def test_a_side_whose_last_layer_no_term_reads_elsewhere(extra, student, teacher):
    module = distillation(tiny.bert(), tiny.bert(layers=4), [*LOGITS, *extra], tiny.SOUND)
    assert module.student_side.last_at_masked is student
    assert module.teacher_side.last_at_masked is teacher


def test_without_logits_and_for_mobilebert_the_last_layer_is_whole():
    hidden = [{"term": "hidden_cosine", "weight": 1.0, "layers": [[1, 1]]}]
    assert not distillation(tiny.bert(), tiny.bert(), hidden, tiny.SOUND).student_side.last_at_masked
    assert not distillation(tiny.mobilebert(), None, tiny.MLM, tiny.SOUND).student_side.last_at_masked


@BUILDS
def test_a_call_that_names_no_positions_is_as_before(build):
    model = build(seed=3).eval()
    [batch] = micro_batches([])
    call = {"input_ids": batch.tensors["input_ids"], "attention_mask": batch.tensors["real_tokens"].long()}
    with torch.no_grad():
        before = model(**call).logits
        distillation(model, None, tiny.MLM, tiny.REFERENCE).eval()
        after = model(**call).logits
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


@BUILDS
@pytest.mark.parametrize("layout", ["padded", "loop"])
def test_the_last_layer_has_its_dropouts(build, layout):
    """Each of its dropouts alone makes a training step draw, and none does in evaluation."""
    module = distillation(build(), None, tiny.MLM, tiny.REFERENCE)
    last = find_last_layer(module.student)
    [batch] = micro_batches([], **LAYOUTS[layout])

    def losses():
        return [torch.manual_seed(seed) and module(batch.tensors, batch.counts).item() for seed in (1, 1, 2)]

    [without] = set(losses())
    dropouts = [one for one in last.layer.modules() if isinstance(one, torch.nn.Dropout)]
    assert len(dropouts) == (2 if build is tiny.distilbert else 3)
    for one in dropouts:
        one.p = 0.2
        first, again, other = losses()
        assert first == again
        assert len({without, first, other}) == 3
        assert set(module.eval() and losses()) == {without}
        module.train()
        one.p = 0.0
