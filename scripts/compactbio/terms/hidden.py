"""Terms on hidden states. Shapes: n tokens.

Formulas: the reference code at the commit that config/config.yaml names; what it leaves open is a quirk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compactbio.terms.cost import Cost
from compactbio.terms.term import HIDDEN, Shape, Term

if TYPE_CHECKING:
    from torch import Tensor

COSINE_EPSILON = 1e-12  # what torch's cosine_embedding_loss adds to squared norms


def hidden_cosine(student: Tensor, teacher: Tensor, real: Tensor | None = None) -> Tensor:
    """Return the sum of 1 - cosine of hidden states (n, hidden).

    Args:
        real: (n,) bool, the tokens that count; None for all.
    """
    from compactbio.terms.distances import cosines

    distances = 1.0 - cosines(student.float(), teacher.float(), COSINE_EPSILON)
    return (distances if real is None else distances.masked_fill(~real, 0.0)).sum()


def hidden_mse(student: Tensor, teacher: Tensor, real: Tensor | None = None) -> Tensor:
    """Return the squared differences of hidden states (n, hidden), averaged over hidden, summed over n.

    Args:
        real: (n,) bool, the tokens that count; None for all.
    """
    import torch.nn.functional as F

    from compactbio.terms.distances import squared_distances

    if real is None:
        return F.mse_loss(student.float(), teacher.float(), reduction="sum") / teacher.shape[-1]
    return squared_distances(student, teacher).masked_fill(~real, 0.0).sum() / teacher.shape[-1]


def _same_width(student: Shape, teacher: Shape, options: Mapping[str, Any]) -> str | None:
    """Return a message where the hidden sizes differ."""
    if student.hidden_size == teacher.hidden_size:
        return None
    return (
        f"compares hidden states of {student.hidden_size} and {teacher.hidden_size} values; "
        "use hidden_mse, which projects, or equal sizes"
    )


def _projection_cost(student: Shape, teacher: Shape) -> tuple[Cost, Cost]:
    """Return the cost of mapping the student's states to the teacher's hidden size, where the two differ."""
    if student.hidden_size == teacher.hidden_size:
        return Cost(), Cost()
    return Cost(token=2.0 * student.hidden_size * teacher.hidden_size), Cost()


TERMS = (
    Term("hidden_cosine", hidden_cosine, (HIDDEN,), "tokens", mismatch=_same_width, title="cosine of hidden states"),
    Term(
        "hidden_mse",
        hidden_mse,
        (HIDDEN,),
        "padded_tokens",
        title="MSE of hidden states",
        over_padding=True,
        projects=True,
        sound={"mse_over_padding": {"denominator": "tokens", "over_padding": False}},
        cost=_projection_cost,
    ),
)
