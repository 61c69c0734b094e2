"""Loss and gradients of every objective equal the plain formulas, whole and in micro-batches of different lengths."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import pretraining as tiny
from helpers.objectives import assert_equal, distillation, micro_batches, ours, plainly

from compactbio.benchmarks import reference as plain
from compactbio.errors import UserError
from compactbio.terms.hidden import hidden_cosine, hidden_mse
from compactbio.terms.objective import read_objective

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def attention_kl_by_own_length(student, teacher, mask):
    """Each row's mean over its own real keys, plainly."""
    rows = []
    for number, length in enumerate(mask.sum(-1).tolist()):
        for head in range(student.shape[1]):
            for query in range(length):
                ours, theirs = student[number, head, query, :length], teacher[number, head, query, :length]
                rows.append((theirs * (theirs.log() - ours.log())).mean())
    return torch.stack(rows).mean()


CUTS = [[], [2, 5], [1, 2, 3, 8]]
COMPACT_SOUND = tiny.REFERENCE | {"attention_kl_denominator": "sound"}
TINY_SOUND = tiny.REFERENCE | {"mse_over_padding": "sound"}
CASES = {
    "distil": (tiny.DISTIL, tiny.REFERENCE, 32, plain.distil),
    "compact": (tiny.COMPACT, tiny.REFERENCE, 32, plain.compact),
    "compact, own lengths": (
        tiny.COMPACT,
        COMPACT_SOUND,
        32,
        lambda *outputs: plain.compact(*outputs, kl=attention_kl_by_own_length),
    ),
    "tiny": (tiny.TINY, tiny.REFERENCE, 16, plain.tiny),
    "tiny, real tokens": (tiny.TINY, TINY_SOUND, 16, plain.tiny_sound),
}


LAYOUTS = pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])


@LAYOUTS
@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_distillation_equals_plain_formulas(case, cuts, packed):
    objective, quirks, hidden, formula = CASES[case]
    if packed and any(entry.term.over_padding for entry in read_objective(objective, quirks)):
        return  # never packed: its means run over padding
    teacher = tiny.bert(layers=4, seed=1)
    student = tiny.bert(layers=2, hidden=hidden, seed=2)
    twin, teacher_twin = copy.deepcopy(student), copy.deepcopy(teacher).eval()
    loss, gradients, module = ours(student, teacher, objective, quirks, cuts, packed=packed)
    projection = copy.deepcopy(module.projection)
    assert (projection is not None) == case.startswith("tiny")
    if projection is not None:
        projection.zero_grad()
    expected, plain_gradients = plainly(twin.train(), teacher_twin, formula, projection)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert_equal(gradients, plain_gradients)


@LAYOUTS
@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("build", tiny.BUILDS.values(), ids=tiny.BUILDS)
def test_masked_language_model_equals_plain_formula(build, cuts, packed):
    student = build(seed=4)
    twin = copy.deepcopy(student).train()
    border = int(build is tiny.mobilebert)
    loss, gradients, _ = ours(student, None, tiny.MLM, tiny.REFERENCE, cuts, border, packed)
    expected, plain_gradients = plainly(twin, None, plain.mlm)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert_equal(gradients, plain_gradients)


PAIRS = {  # of a student and a teacher
    "distilbert of roberta": (tiny.distilbert, tiny.roberta),
    "bert of electra": (tiny.bert, tiny.electra),
    "electra of roberta": (tiny.electra, tiny.roberta),
    "roberta of bert": (tiny.roberta, tiny.bert),
}


@LAYOUTS
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("case", ["distil", "compact", "tiny"])
def test_distillation_across_architectures_equals_plain_formulas(case, pair, packed):
    """One tokenizer is all that the two have to share."""
    (objective, quirks, hidden, formula), (build, build_teacher) = CASES[case], PAIRS[pair]
    if packed and case == "tiny":
        return  # never packed: its means run over padding
    fixed = build is tiny.distilbert  # of 32 values, so that `tiny` needs another teacher for what it projects
    teacher = build_teacher(layers=4, hidden=64 if fixed and case == "tiny" else 32, seed=1)
    student = build(seed=2) if fixed else build(hidden=hidden, seed=2)
    twin, teacher_twin = copy.deepcopy(student), copy.deepcopy(teacher).eval()
    loss, gradients, module = ours(student, teacher, objective, quirks, [2, 5], packed=packed)
    projection = copy.deepcopy(module.projection)
    if projection is not None:
        projection.zero_grad()
    expected, plain_gradients = plainly(twin.train(), teacher_twin, formula, projection)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert_equal(gradients, plain_gradients)


@torch.no_grad()
def test_padding_drawn_in_place_of_a_masked_token_moves_no_position():
    """As one of the random tokens; transformers' RoBERTa, left to itself, takes it for the end of a sequence."""
    student, losses = tiny.roberta(seed=4), []
    for packed in (True, False):
        module = distillation(copy.deepcopy(student), None, tiny.MLM, tiny.REFERENCE)
        [batch] = micro_batches([], packed=packed)
        ids = batch.tensors["input_ids"]
        ids.view(-1)[batch.tensors["masked_positions"][::3]] = tiny.SPECIAL_IDS["pad"]
        losses.append(module(batch.tensors, batch.counts).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_mean_of_micro_batch_means_would_not_pass():
    """The control: what the sums avoid changes the loss far beyond the tolerance."""
    student = tiny.bert(seed=4)
    whole, _, _ = ours(copy.deepcopy(student), None, tiny.MLM, tiny.REFERENCE, [])
    module = distillation(student, None, tiny.MLM, tiny.REFERENCE)
    means = [module(batch.tensors, batch.counts).item() for batch in micro_batches([2, 5])]
    assert abs(sum(means) / len(means) - whole) / whole > 1e-3


def test_equal_models_have_no_distance():
    """A student that is its teacher: every term but the cross-entropies is zero."""
    teacher = tiny.bert(layers=4, seed=1)
    layers = [[n, n] for n in range(1, 5)]
    objective = [
        {"term": "attention_kl", "weight": 1.0, "layers": layers},
        {"term": "attention_mse", "weight": 1.0, "layers": layers},
        {"term": "hidden_cosine", "weight": 1.0, "layers": layers},
        {"term": "hidden_mse", "weight": 1.0, "layers": [[0, 0], *layers]},
        {"term": "logit_kl", "weight": 1.0, "temperature": 2.0},
    ]
    loss, _, _ = ours(copy.deepcopy(teacher), teacher, objective, tiny.REFERENCE, [2, 5])
    assert abs(loss) < 1e-5


@pytest.mark.parametrize("counted", [False, True])
def test_the_cosine_and_its_gradient_are_the_formulas(counted):
    """In float64; rows of zeros, which fill may be, are no exception."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 40, 24, generator=generator)
    student[:2], teacher[1:3] = 0.0, 0.0
    real = torch.arange(40) % 3 != 0 if counted else None
    exact, leaf = student.double().requires_grad_(), student.requires_grad_()
    distances = torch.nn.functional.cosine_embedding_loss(exact, teacher.double(), torch.ones(40), reduction="none")
    expected = (distances if real is None else distances[real]).sum()
    found = hidden_cosine(leaf, teacher, real)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0.0)
    [gradient], [wanted] = torch.autograd.grad(0.25 * found, leaf), torch.autograd.grad(0.25 * expected, exact)
    torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
def test_the_squared_error_and_its_gradient_are_the_formulas(kind):
    """In float64; a projected state is of half precision, and so is its gradient."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 40, 24, generator=generator)
    leaf = student.to(kind).requires_grad_()
    exact, real = leaf.detach().double().requires_grad_(), torch.arange(40) % 3 != 0
    expected = (exact - teacher.double())[real].square().mean(-1).sum()
    found = hidden_mse(leaf, teacher, real)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0.0)
    [gradient], [wanted] = torch.autograd.grad(0.25 * found, leaf), torch.autograd.grad(0.25 * expected, exact)
    assert gradient.dtype == kind
    torch.testing.assert_close(gradient.double(), wanted, rtol=1e-6 if kind == torch.float32 else 2**-8, atol=0.0)


@pytest.mark.parametrize(
    ("objective", "switch"),
    [
        (tiny.COMPACT, "teacher_dropout"),
        (tiny.COMPACT, "maps_after_dropout"),
        (tiny.COMPACT, "attention_kl_denominator"),
        (tiny.TINY, "attention_maps"),
        (tiny.TINY, "mse_over_padding"),
    ],
)
def test_each_switch_changes_the_loss(objective, switch):
    losses = []
    for quirks in (tiny.REFERENCE, tiny.REFERENCE | {switch: "sound"}):
        hidden = 16 if objective is tiny.TINY else 32
        module = distillation(
            tiny.bert(layers=2, hidden=hidden, dropout=0.1, seed=2),
            tiny.bert(layers=4, dropout=0.1, seed=1),
            objective,
            quirks,
        )
        [batch] = micro_batches([], to_max_length=any(entry.term.over_padding for entry in module.objective))
        torch.manual_seed(0)
        losses.append(module(batch.tensors, batch.counts).item())
    assert abs(losses[0] - losses[1]) > 1e-4 * abs(losses[0])


def test_teacher_dropout_switch_sets_the_teachers_mode_and_training_leaves_it():
    for value, training in (("reference", True), ("sound", False)):
        teacher = tiny.bert(layers=4, dropout=0.1)
        quirks = tiny.REFERENCE | {"teacher_dropout": value}
        module = distillation(tiny.bert(), teacher, tiny.DISTIL, quirks)
        assert teacher.training is training
        assert not any(name.startswith("teacher") for name, _ in module.named_parameters())
        assert not any(parameter.requires_grad for parameter in teacher.parameters())


@pytest.mark.parametrize(
    ("objective", "student", "message"),
    [
        (
            [{"term": "hidden_cosine", "weight": 1.0, "layers": [[2, 5]]}],
            {},
            r"teacher layer 5 of .* outside 0\.\.4",
        ),
        (
            [{"term": "attention_kl", "weight": 1.0, "layers": [[0, 1]]}],
            {},
            r"student layer 0 of .* outside 1\.\.2",
        ),
        ([{"term": "attention_mse", "weight": 1.0, "layers": [[1, 1]]}], {"heads": 2}, "2 heads and the teacher 4"),
        ([{"term": "hidden_cosine", "weight": 1.0, "layers": [[1, 1]]}], {"hidden": 16}, "use hidden_mse"),
        ([{"term": "logit_lk", "weight": 1.0}], {}, "use one of attention_kl, "),
        ([{"term": "hidden_mse", "weight": 1.0}], {}, "layers: needed: pairs"),
    ],
)
def test_objectives_that_do_not_fit_are_refused(objective, student, message):
    with pytest.raises(UserError, match=message):
        distillation(tiny.bert(**student), tiny.bert(layers=4), objective, tiny.SOUND)


@pytest.mark.parametrize("term", ["logit_kl", "soft_cross_entropy"])
def test_logits_of_more_tokens_are_refused_and_hidden_states_are_not(term):
    student, teacher = tiny.bert(), tiny.roberta(layers=4)
    teacher.resize_token_embeddings(tiny.VOCABULARY + 8, mean_resizing=False)
    terms = [{"term": term, "weight": 1.0}]
    with pytest.raises(UserError, match=r"student has them for 120 tokens and the teacher for 128; .*teacher_layers"):
        distillation(student, teacher, terms, tiny.SOUND)
    distillation(student, teacher, [{"term": "hidden_mse", "weight": 1.0, "layers": [[2, 4]]}], tiny.SOUND)


def test_a_term_without_its_teacher_is_refused():
    with pytest.raises(UserError, match="needs a teacher"):
        distillation(tiny.bert(), None, tiny.DISTIL, tiny.SOUND)


@pytest.mark.parametrize(("objective", "hidden"), [(tiny.DISTIL, 32), (tiny.COMPACT, 32), (tiny.TINY, 16)])
def test_half_precision_is_near_and_its_maps_are_not_rounded(objective, hidden):
    losses = []
    for half in (False, True):
        student, teacher = tiny.bert(layers=2, hidden=hidden, seed=2), tiny.bert(layers=4, seed=1)
        module = distillation(student, teacher, objective, tiny.REFERENCE)
        [batch] = micro_batches([], to_max_length=any(entry.term.over_padding for entry in module.objective))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            losses.append(module(batch.tensors, batch.counts))
        losses[-1].backward()
    assert all(loss.dtype == torch.float32 for loss in losses)
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=0.03)
    assert losses[1].item() != losses[0].item()
