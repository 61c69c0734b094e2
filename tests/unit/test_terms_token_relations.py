"""Relations of MiniLM: equal to their formulas in double precision, whatever the widths, heads and padding."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from helpers import pretraining as tiny
from helpers.objectives import assert_equal, distillation, masked_example, micro_batches

from compactbio.architectures import architecture_of
from compactbio.benchmarks import reference as plain
from compactbio.errors import UserError
from compactbio.terms.objective import TERMS, key_faults

BUILDS = {
    **tiny.BUILDS,  # MobileBERT attends in 16 values, the teacher in 32
    "narrow": lambda **options: tiny.bert(hidden=16, heads=2, **options),
}
READS = {  # rows and keys of each relation, among (query, key, value)
    "query_key_relation_kl": (0, 1),
    "query_relation_kl": (0, 0),
    "key_relation_kl": (1, 1),
    "value_relation_kl": (2, 2),
}
LAYERS = [[1, 2], [2, 4]]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def objective(names=tuple(READS), **options):
    weights = {name: 1.0 + number for number, name in enumerate(READS)}
    return [{"term": name, "weight": weights[name], "layers": LAYERS} | options for name in names]


def losses_and_gradients(student, teacher, terms, cuts=(), border=0, packed=False):
    module = distillation(student, teacher, terms, tiny.SOUND)
    batches = micro_batches(list(cuts), border=border, packed=packed)
    tokens = sum(batch.counts["tokens"] for batch in batches)
    losses = [module(batch.tensors, {"tokens": tokens}) for batch in batches]
    for loss in losses:
        loss.backward()
    return sum(loss.item() for loss in losses), gradients_of(student)


def gradients_of(model):
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def vectors_of(model, layers, ids, mask):
    """Queries, keys and values (b, l, width) of layers from 1, from the projections themselves."""
    record, kept = architecture_of(model), {}
    for layer, module in enumerate(record.attention_modules(model), start=1):
        for which, name in enumerate(record.projections):
            hook = lambda _, __, output, place=(layer, which): kept.__setitem__(place, output)  # noqa: E731
            getattr(module, name).register_forward_hook(hook)
    plain.run(model, ids, mask, everything=False)
    return {layer: [kept[layer, which] for which in range(3)] for layer in layers}


def relation(rows, keys):
    return torch.softmax(rows @ keys.T / rows.shape[-1] ** 0.5, dim=-1)


def plainly(student, teacher, terms, student_heads, teacher_heads):
    """The mean over tokens and heads of each row's divergence, one sequence, head and layer after the other."""
    lengths, _, inputs, _ = masked_example()
    ids, mask = plain.padded_batch(
        [part.tolist() for part in np.split(inputs, np.cumsum(lengths)[:-1])], tiny.MAX_LENGTH
    )
    ours = vectors_of(student, [1, 2], ids, mask)
    with torch.no_grad():
        theirs = vectors_of(teacher, [2, 4], ids, mask)
    total = 0.0
    for term in terms:
        reads = READS[term["term"]]
        for our_layer, their_layer in term["layers"]:
            for number, length in enumerate(lengths.tolist()):
                our_two = [ours[our_layer][which][number, :length].chunk(student_heads, -1) for which in reads]
                their_two = [theirs[their_layer][which][number, :length].chunk(teacher_heads, -1) for which in reads]
                for a, b, c, d in zip(*our_two, *their_two, strict=True):
                    p, q = relation(c, d), relation(a, b)
                    total = total + term["weight"] * (p * (p.log() - q.log())).sum() / student_heads
    loss = total / lengths.sum().item()
    loss.backward()
    return loss.item(), gradients_of(student)


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("cuts", [[], [2, 5], [1, 2, 3, 8]], ids=str)
@pytest.mark.parametrize(
    ("build", "heads"),
    [
        ("bert", None),
        ("bert", 2),
        ("distilbert", 8),
        ("electra", None),
        ("mobilebert", None),
        ("roberta", 2),
        ("narrow", 8),
    ],
)
def test_relations_equal_their_formulas(build, heads, cuts, packed):
    student, teacher = BUILDS[build](seed=2).double(), tiny.bert(layers=4, seed=1).double()
    twin, teacher_twin = copy.deepcopy(student).train(), copy.deepcopy(teacher).eval()
    terms = objective() if heads is None else objective(relation_heads=heads)
    border = int(build == "mobilebert")
    loss, gradients = losses_and_gradients(student, teacher, terms, cuts, border, packed)
    expected, plain_gradients = plainly(twin, teacher_twin, terms, heads or 4, heads or 4)
    assert loss == pytest.approx(expected, rel=1e-10)
    assert sum(bool(value.any()) for value in gradients.values()) > 10
    assert_equal(gradients, plain_gradients, 1e-9)


@pytest.mark.parametrize("name", READS)
def test_padding_changes_nothing_and_a_copy_has_no_distance(name):
    function = TERMS[name].function
    torch.manual_seed(0)
    states = [torch.randn(2, 4, 6, 8, dtype=torch.float64) for _ in range(2 * len(TERMS[name].reads))]
    real = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    short = [function(*(one[i : i + 1, :, :n] for one in states), None).item() for i, n in enumerate((6, 4))]
    assert function(*states, real).item() == pytest.approx(sum(short), rel=1e-12)
    for one in states:
        one[1, :, 4:] = 1e3
    assert function(*states, real).item() == pytest.approx(sum(short), rel=1e-12)
    half = len(states) // 2
    assert function(*states[:half], *states[:half], real).item() == pytest.approx(0.0, abs=1e-12)


def test_padding_leaves_gradients_finite():
    student = torch.randn(1, 2, 3, 4, requires_grad=True)
    real = torch.tensor([[True, False, False]])
    TERMS["value_relation_kl"].function(student, torch.randn(1, 2, 3, 4), real, relation_heads=4).backward()
    assert student.grad.isfinite().all()


def test_half_precision_is_near():
    losses = []
    for half in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            losses.append(losses_and_gradients(tiny.bert(seed=2), tiny.bert(layers=4, seed=1), objective())[0])
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.05)


@pytest.mark.parametrize(
    ("options", "student", "message"),
    [
        ({}, {"heads": 2}, r"2 heads and the teacher 4; .* or set relation_heads"),
        ({"relation_heads": 3}, {}, "the student's 32 values of a token cannot be split into relation_heads = 3"),
        ({"relation_heads": 8}, {"hidden": 12, "heads": 3}, "the student's 12 values"),
    ],
)
def test_heads_that_cannot_be_compared_are_refused(options, student, message):
    with pytest.raises(UserError, match=message):
        distillation(tiny.bert(**student), tiny.bert(layers=4), objective(**options), tiny.SOUND)


def test_relation_heads_are_refused_elsewhere():
    [fault] = key_faults({"term": "mlm", "relation_heads": 4})
    assert fault == f".relation_heads: only {', '.join(READS)} have one; remove it"


def test_the_products_are_counted_as_cost():
    logits = [{"term": "soft_cross_entropy", "weight": 1.0}]
    lower = {"term": "value_relation_kl", "weight": 1.0, "layers": [[1, 1]], "relation_heads": 4}
    without, module = (
        distillation(tiny.bert(hidden=16, heads=2), tiny.bert(layers=4), terms, tiny.SOUND)
        for terms in (logits, [*logits, lower])
    )
    assert module.cost().pair - without.cost().pair == 2.0 * (3 * 16 + 32)  # the student's goes backward too
