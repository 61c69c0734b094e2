"""Terms on the logits of masked positions. Shapes: m masked positions, v vocabulary.

Formulas: the reference code at the commit that config/config.yaml names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compactbio.terms.term import LOGITS, Option, Shape, Term

if TYPE_CHECKING:
    from torch import Tensor


def mlm(student: Tensor, labels: Tensor) -> Tensor:
    """Return the summed cross-entropy of student logits (m, v) with labels (m,); -100 marks what does not count."""
    import torch.nn.functional as F

    return F.cross_entropy(student.float(), labels, reduction="sum")


def logit_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0, real: Tensor | None = None) -> Tensor:
    """Return T^2 KL(teacher || student) of logits (m, v) divided by T, summed over vocabulary and positions.

    Args:
        real: (m,) bool, the positions that count; None for all.
    """
    import torch.nn.functional as F

    student_log = F.log_softmax(student.float() / temperature, dim=-1)
    teacher_log = F.log_softmax(teacher.float() / temperature, dim=-1)
    if real is None:
        return temperature**2 * F.kl_div(student_log, teacher_log, reduction="sum", log_target=True)
    rows = F.kl_div(student_log, teacher_log, reduction="none", log_target=True).sum(-1)
    return temperature**2 * rows.masked_fill(~real, 0.0).sum()


def soft_cross_entropy(student: Tensor, teacher: Tensor, real: Tensor | None = None) -> Tensor:
    """Return -sum p_teacher log p_student of logits (m, v), summed over vocabulary and positions.

    Args:
        real: (m,) bool, the positions that count; None for all.
    """
    products = teacher.float().softmax(-1) * student.float().log_softmax(-1)
    return -(products if real is None else products.sum(-1).masked_fill(~real, 0.0)).sum()


def _same_vocabulary(student: Shape, teacher: Shape, options: Mapping[str, Any]) -> str | None:
    """Return a message where the models have logits for other numbers of tokens, as one with spare embeddings has."""
    ours, theirs = student.vocabulary, teacher.vocabulary
    if ours == theirs or not (ours and theirs):
        return None
    return (
        f"compares logits, but the student has them for {ours:,} tokens and the teacher for {theirs:,}; start from "
        "layers of the teacher (student.teacher_layers), or replace the term by ones on hidden states or attention"
    )


TERMS = (
    Term(
        "mlm",
        mlm,
        (LOGITS,),
        "masked",
        needs_teacher=False,
        on_chip={"formula": "labels"},
        title="masked language modelling",
    ),
    Term(
        "logit_kl",
        logit_kl,
        (LOGITS,),
        "masked",
        on_chip={"formula": "kl"},
        mismatch=_same_vocabulary,
        title="KL divergence of logits",
        options={
            "temperature": Option(
                "What logits are divided by; 1 where it is left out.", float, {"exclusiveMinimum": 0}, default=1.0
            )
        },
    ),
    Term(
        "soft_cross_entropy",
        soft_cross_entropy,
        (LOGITS,),
        "masked",
        on_chip={"formula": "cross_entropy"},
        mismatch=_same_vocabulary,
        title="cross-entropy with soft labels",
    ),
)
