"""Terms on attention maps. Shapes: b sequences, a heads, l padded length.

Formulas: the reference code at the commit that config/config.yaml names; what it leaves open is a quirk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compactbio.terms.term import PROBABILITIES, SCORES, Term, same_heads

if TYPE_CHECKING:
    from torch import Tensor

MAP_EPSILON = 1e-12  # [code]: maps after dropout hold exact zeros


def attention_kl(student: Tensor, teacher: Tensor, real_tokens: Tensor | None, *, own_length: bool) -> Tensor:
    """Return KL(teacher || student) of attention probabilities (b, a, l, l), averaged over heads.

    Rows of padding queries are left out.

    Args:
        real_tokens: (b, l) bool, None where nothing is padding.
        own_length: divide each row by the number of its sequence's tokens; else the rows are summed, and the
            denominator holds the key length.
    """
    target = teacher + MAP_EPSILON
    rows = (target * (target.log() - (student + MAP_EPSILON).log())).sum(-1)  # (b, a, l)
    if own_length:
        keys = (
            student.shape[-1] if real_tokens is None else real_tokens.sum(-1)[:, None, None].clamp_min(1)
        )  # rows that only fill a shape
        rows = rows / keys
    if real_tokens is not None:
        rows = rows * real_tokens[:, None, :]
    return rows.sum() / student.shape[1]


def attention_mse(student: Tensor, teacher: Tensor, real_tokens: Tensor | None, *, over_padding: bool) -> Tensor:
    """Return the squared differences of maps (b, a, l, l), averaged over heads and summed over the rest.

    Padding keys add nothing (probabilities are zero there; TinyBERT's recipe sets scores to zero there), nor do keys
    outside of a layer's window, whose scores are zero for the same reason.

    Args:
        real_tokens: (b, l) bool, None where nothing is padding.
        over_padding: rows of padding queries count too.
    """
    squares = (student - teacher).square()
    if real_tokens is not None:
        squares = squares * real_tokens[:, None, None, :]
        if not over_padding:
            squares = squares * real_tokens[:, None, :, None]
    return squares.sum() / student.shape[1]


TERMS = (
    Term(
        "attention_kl",
        attention_kl,
        (PROBABILITIES,),  # a divergence needs distributions: the quirk attention_maps concerns the MSE only
        "key_rows",
        title="KL divergence of attention",
        arguments={"own_length": False},
        sound={
            "attention_kl_denominator": {
                "denominator": "tokens",
                "arguments": {"own_length": True},
                "on_chip": {"formula": "kl", "by_keys": True},
            }
        },
        on_chip={"formula": "kl"},
        mismatch=same_heads,
    ),
    Term(
        "attention_mse",
        attention_mse,
        (PROBABILITIES,),
        "padded_pairs",
        title="MSE of attention",
        arguments={"over_padding": True},
        over_padding=True,
        on_chip={"formula": "mse"},
        sound={
            "attention_maps": {"reads": (SCORES,), "on_chip": {"formula": "score_mse"}},
            "mse_over_padding": {
                "denominator": "token_pairs",
                "arguments": {"over_padding": False},
                "over_padding": False,
            },
        },
        mismatch=same_heads,
    ),
)
