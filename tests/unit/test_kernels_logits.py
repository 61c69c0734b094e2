"""Kernels for logits in Triton's interpreter, against plain formulas in double precision."""

from __future__ import annotations

import pytest
import torch
from helpers.logit_terms import FORMULAS, errors, labels_of, logits
from helpers.map_terms import INTERPRETED, relative

from compactbio.kernels import choice, logit_choice
from compactbio.kernels.logits import MOST_COLUMNS, compare_logits
from compactbio.terms.objective import TERMS as ALL
from compactbio.terms.objective import read_objective
from compactbio.terms.term import LOGITS

pytestmark = INTERPRETED
EVERY_FORMULA = pytest.mark.parametrize("case", FORMULAS, ids=str)
CPU = torch.device("cpu")
TERMS = [
    {"term": "mlm", "weight": 1.0},
    {"term": "logit_kl", "weight": 2.0, "temperature": 2.0},
    {"term": "soft_cross_entropy", "weight": 1.0},
]
ENTRIES = read_objective(TERMS, {})


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@EVERY_FORMULA
@pytest.mark.parametrize("vocabulary", [37, MOST_COLUMNS, MOST_COLUMNS + 1, 2 * MOST_COLUMNS + 900])
@pytest.mark.parametrize("fill", [False, True])
def test_a_term_and_its_gradient_are_the_plain_formulas(case, vocabulary, fill):
    sides = [logits(5, vocabulary, seed) for seed in (0, 1)]
    assert max(errors(*sides, case, fill=fill)) < 3e-6


@EVERY_FORMULA
# the interpreter does not round to bf16 but cuts off
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float16, 1e-3), (torch.bfloat16, 8e-3)], ids=str)
def test_half_precision_is_as_near_as_its_numbers_allow(case, dtype, limit):
    student, teacher = (logits(4, MOST_COLUMNS + 300, seed, dtype=dtype) for seed in (0, 1))
    value, gradient = errors(student, teacher, case)
    assert value < 3e-6  # nothing of the sum is in half precision
    assert gradient < limit
    assert max(errors(student, teacher.float(), case)) < limit  # the models may differ


@EVERY_FORMULA
# 1e4: one probability is 1, all others are 0; 0.1: a small KL, of probabilities that are nearly the same
@pytest.mark.parametrize(("spread", "limit"), [(0.1, 1e-4), (50.0, 2e-6), (1e4, 1e-6)])
def test_logits_may_be_near_or_far(case, spread, limit):
    student, teacher = (logits(4, 2 * MOST_COLUMNS + 7, seed, spread=spread) for seed in (0, 1))
    assert max(errors(student, teacher, case)) < limit


@EVERY_FORMULA
def test_what_all_logits_of_a_row_share_changes_nothing(case):
    student, teacher = (logits(4, 3000, seed) for seed in (0, 1))
    assert max(errors(student - 50.0, teacher + 100.0, case)) < 3e-6


def test_columns_that_cannot_be_are_left_out():
    """A whole block of them, the first one."""
    student = logits(2, 2 * MOST_COLUMNS, 0)
    student[:, :MOST_COLUMNS] = -torch.inf
    labels = torch.tensor([MOST_COLUMNS, MOST_COLUMNS + 5])
    found = compare_logits(student, labels, "labels")
    expected = compare_logits(student[:, MOST_COLUMNS:], labels - MOST_COLUMNS, "labels")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("spread", [0.0, 0.01])
def test_models_that_nearly_agree_have_a_small_divergence(spread):
    teacher = logits(4, 3000, 0)
    student = teacher + spread * logits(4, 3000, 1, spread=1.0)
    value = compare_logits(student, teacher, "kl")
    ours, theirs = (one.double().log_softmax(-1) for one in (student, teacher))
    assert abs(float(value - (theirs.exp() * (theirs - ours)).sum())) < 2e-6


@EVERY_FORMULA
@pytest.mark.parametrize("width", [3003, 3008, 4096])
@pytest.mark.parametrize("first", [0, 1])
def test_rows_may_be_slices_of_wider_ones(case, width, first):
    student, teacher = (logits(4, width, seed)[:, first : first + 3000] for seed in (0, 1))
    assert max(errors(student, teacher, case, fill=False)) < 3e-6
    transposed = logits(3000, 4, 0).t()
    assert max(errors(transposed, teacher, case, fill=False)) < 3e-6


@EVERY_FORMULA
def test_rows_without_any_that_counts_and_no_rows_are_zero(case):
    student, teacher = (logits(2, 50, seed).requires_grad_() for seed in (0, 1))
    nothing = torch.zeros(2, dtype=torch.bool)
    other = torch.full((2,), -100) if case[0] == "labels" else teacher
    total = compare_logits(student, other, case[0], real=None if case[0] == "labels" else nothing)
    [gradient] = torch.autograd.grad(total, student)
    assert total.item() == 0.0 and gradient.count_nonzero() == 0
    assert compare_logits(student[:0], other[:0], case[0]).item() == 0.0


def test_the_teachers_logits_get_no_gradient():
    student, teacher = (logits(2, 50, seed).requires_grad_() for seed in (0, 1))
    compare_logits(student, teacher, "kl").backward()
    assert teacher.grad is None and student.grad.norm() > 0


@EVERY_FORMULA
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_seen(case, value):
    """A training stops there, and a scaler of fp16 leaves out the step."""
    student, teacher = (logits(4, 3000, seed) for seed in (0, 1))
    student[2, 2500] = value
    other = labels_of(torch.ones(4, dtype=torch.bool), 3000) if case[0] == "labels" else teacher
    total = compare_logits(student.requires_grad_(), other, case[0])
    [gradient] = torch.autograd.grad(total, student)
    assert not total.isfinite() and not gradient[2].isfinite().all() and gradient[[0, 1, 3]].isfinite().all()


def test_a_label_that_is_no_column_is_no_number():
    assert compare_logits(logits(2, 50, 0), torch.tensor([3, 50]), "labels").isnan()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.term.name)
def test_terms_name_the_kernel_of_their_formula(entry):
    student, teacher = (logits(4, 700, seed).requires_grad_() for seed in (0, 1))
    real = torch.tensor([True, True, False, True])
    others = (labels_of(real, 700),) if not entry.term.needs_teacher else (teacher.detach(),)
    counted = {"real": real} if entry.term.needs_teacher else {}
    found = compare_logits(student, *others, **entry.arguments, **entry.term.on_chip, **counted)
    expected = entry.term.function(student, *others, **entry.arguments, **counted)
    assert relative(found, expected) < 1e-6
    assert relative(*(torch.autograd.grad(one, student)[0] for one in (found, expected))) < 1e-6


def test_every_term_on_logits_has_a_kernel():
    assert {entry.term.name for entry in ENTRIES} == {name for name, term in ALL.items() if term.reads == (LOGITS,)}


def test_a_trial_finds_what_differs(monkeypatch):
    assert logit_choice.trial(CPU, torch.float32, 5000, ENTRIES) is None
    assert logit_choice.trial(CPU, torch.float16, 300, ENTRIES) is None
    real = compare_logits

    def wrong(change):
        def compare(student, other, formula, **options):
            return real(*change(student, other), formula, **options)

        monkeypatch.setattr(logit_choice, "compare_logits", compare)
        return logit_choice.trial(CPU, torch.float32, 5000, ENTRIES)

    assert wrong(lambda student, other: (student, other)) is None
    # the last columns are left out of the teacher's sum
    found = wrong(lambda student, other: (student, other if other.dim() == 1 else other - 9.0 * (TAIL > 4000)))
    assert found.startswith("in a trial, their logit_kl differ by")
    # a row that does not count is read
    found = wrong(lambda student, other: (student, other.abs() if other.dim() == 1 else other))
    assert found.startswith("in a trial, their mlm differ by nan")
    # gradients of another size
    found = wrong(lambda student, other: (student + 0.01 * (student - student.detach()), other))
    assert found.startswith("in a trial, their gradients of mlm differ by 0.01")


TAIL = torch.arange(5000)


def test_the_reason_for_the_plain_path_is_named(monkeypatch):
    tried = []
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(logit_choice, "trial", lambda *given: tried.append(given) or "they differ")
    options = {"vocabulary": 300, "entries": ENTRIES}
    for precision, dtype in {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}.items():
        assert logit_choice.logit_refusal(torch.device("cuda"), precision=precision, **options) == "they differ"
        assert tried.pop() == (torch.device("cuda"), dtype, 300, ENTRIES)
    assert logit_choice.logit_refusal(CPU, precision="bf16", **options) == "the kernels are for GPUs"
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: None)
    refused = logit_choice.logit_refusal(torch.device("cuda"), precision="bf16", **options)
    assert refused == "Triton is not installed; a torch for GPUs brings it"


@pytest.mark.parametrize(
    ("formula", "shape"), [("labels", (2,)), ("labels", (3, 20)), ("kl", (3, 19)), ("cross_entropy", (2, 20))]
)
def test_shapes_that_do_not_fit_are_refused(formula, shape):
    """A kernel would read beside what there is."""
    with pytest.raises(ValueError, match="their shapes differ"):
        compare_logits(torch.zeros(3, 20), torch.zeros(shape), formula)
